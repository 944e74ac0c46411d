//! Whether the values fit together. Runs before anything is bound or written.

use super::{Config, CredentialSource, MailTls};
use crate::meetings::invitation::Email;
use std::net::{IpAddr, SocketAddr};

/// RFC 7518 section 3.2: a key for HS256 has at least the length of the hash.
const API_SECRET_LEN_MIN: usize = 32;
/// More threads than any machine that we know has cores.
const WORKERS_MAX: usize = 512;
/// Each address becomes one ICE candidate per worker, and every client checks all of them.
const ADVERTISE_MAX: usize = 8;
/// One frame of audio.
const COALESCE_MICROSECONDS_MAX: u32 = 20_000;
/// Below this, Linux silently takes its own minimum; above, it is a slip of the pen.
const BUFFER_BYTES: std::ops::RangeInclusive<usize> = 65_536..=1 << 30;

/// PostgreSQL allows 100 unless told otherwise, to all servers together.
const STORE_CONNECTIONS: std::ops::RangeInclusive<u32> = 2..=200;

/// Longer than anybody waits for a mail or an event, at an hour for each attempt.
const ATTEMPTS: std::ops::RangeInclusive<u32> = 1..=200;

/// Key and reason of everything that is wrong.
pub(super) fn violations(config: &Config) -> Vec<(String, String)> {
    let mut violations = Vec::new();
    let mut check = |holds: bool, key: &'static str, reason: &str| {
        if !holds {
            violations.push((key.to_owned(), reason.to_owned()));
        }
    };
    check(!config.data_dir.as_os_str().is_empty(), "data_dir", "must name a directory");
    check_credentials(config, &mut check);
    check_listeners(config, &mut check);
    check_media(config, &mut check);
    check(config.rooms.rooms_max > 0, "rooms.rooms_max", "must be at least 1");
    check_store(config, &mut check);
    check_mail(config, &mut check);
    check(ATTEMPTS.contains(&config.webhooks.attempts_max), "webhooks.attempts_max", "must be between 1 and 200");
    check(
        tracing_subscriber::EnvFilter::try_new(&config.log.filter).is_ok(),
        "log.filter",
        "is not a level (error, warn, info, debug, trace) or a list of target=level",
    );
    let identity = config.identity.violations(config.http.public_url.is_some());
    violations.extend(identity.into_iter().map(|(key, reason)| (key, reason.to_owned())));
    violations
}

fn check_credentials(config: &Config, check: &mut impl FnMut(bool, &'static str, &str)) {
    let api = &config.api;
    check(api.secret.is_none() || api.key.is_some(), "api.key", "must be set, because api.secret is");
    check(api.key.is_none() || api.secret.is_some(), "api.secret", "must be set, because api.key is");
    check(
        api.key.as_ref().is_none_or(|key| !key.is_empty() && key.chars().all(|c| c.is_ascii_graphic())),
        "api.key",
        "must be one word of visible ASCII characters",
    );
    check(
        api.secret.as_ref().is_none_or(|secret| secret.expose().len() >= API_SECRET_LEN_MIN),
        "api.secret",
        "must have at least 32 characters (RFC 7518 section 3.2)",
    );
}

fn check_store(config: &Config, check: &mut impl FnMut(bool, &'static str, &str)) {
    let store = &config.store;
    check(
        store
            .url
            .as_ref()
            .is_none_or(|url| url.expose().starts_with("postgres://") || url.expose().starts_with("postgresql://")),
        "store.url",
        "must be of the form postgres://user:password@host/database; without it, data is kept in SQLite",
    );
    // One connection writes while others read.
    check(STORE_CONNECTIONS.contains(&store.connections_max), "store.connections_max", "must be between 2 and 200");
}

fn check_mail(config: &Config, check: &mut impl FnMut(bool, &'static str, &str)) {
    let mail = &config.mail;
    check(ATTEMPTS.contains(&mail.attempts_max), "mail.attempts_max", "must be between 1 and 200");
    check(
        mail.host.as_ref().is_none_or(|host| !host.is_empty() && host.chars().all(|c| c.is_ascii_graphic())),
        "mail.host",
        "must be the name or address of a host",
    );
    check(mail.from.is_some() || mail.host.is_none(), "mail.from", "must be set, because mail.host is");
    check(
        mail.from.as_ref().is_none_or(|from| Email::new(from).is_some()),
        "mail.from",
        "must be an e-mail address like mdt@hospital.example",
    );
    check(mail.password.is_none() || mail.username.is_some(), "mail.username", "must be set, because mail.password is");
    check(mail.username.is_none() || mail.password.is_some(), "mail.password", "must be set, because mail.username is");
    check(
        mail.tls != MailTls::None || mail.username.is_none(),
        "mail.tls",
        "must not be none where there is a password, which everybody on the way could read",
    );
}

fn check_listeners(config: &Config, check: &mut impl FnMut(bool, &'static str, &str)) {
    check(
        config.credential_source() == CredentialSource::Configured || config.http.listen.ip().is_loopback(),
        "http.listen",
        "must be a loopback address while development credentials are in use; set CONSILIUM_API_KEY and \
         CONSILIUM_API_SECRET to open the server to others",
    );
    check(
        !overlap(config.http.listen, config.ops.listen),
        "ops.listen",
        "is the address of http.listen; operations need their own",
    );
    check(
        config.http.public_url.is_some() || config.mail.host.is_none(),
        "http.public_url",
        "must be set, because mail.host is: links in mails lead there",
    );
    check(config.http.connections_max > 0, "http.connections_max", "must be at least 1");
}

fn check_media(config: &Config, check: &mut impl FnMut(bool, &'static str, &str)) {
    let media = &config.media;
    check(media.workers <= WORKERS_MAX, "media.workers", "must be at most 512; 0 is one per core");
    let workers = if media.workers == 0 { cores() } else { media.workers };
    check(
        media.udp_port == 0 || usize::from(media.udp_port) + workers <= usize::from(u16::MAX) + 1,
        "media.udp_port",
        "leaves no room for one port per worker below 65536",
    );
    let count = |is_wanted: fn(&IpAddr) -> bool| media.bind.iter().filter(|address| is_wanted(address)).count();
    check(
        count(IpAddr::is_ipv4) <= 1 && count(IpAddr::is_ipv6) <= 1,
        "media.bind",
        "may hold one IPv4 and one IPv6 address",
    );
    check(!media.bind.iter().any(IpAddr::is_multicast), "media.bind", "must not hold a multicast address");
    check(
        !media.advertise.iter().any(|address| address.is_unspecified() || address.is_multicast()),
        "media.advertise",
        "must hold addresses that a client can send to",
    );
    check(
        media.coalesce_microseconds <= COALESCE_MICROSECONDS_MAX,
        "media.coalesce_microseconds",
        "must be at most 20000: nobody should hear it",
    );
    check((-20..=19).contains(&media.nice), "media.nice", "must be between -20 and 19");
    check(media.advertise.len() <= ADVERTISE_MAX, "media.advertise", "may hold 8 addresses at most");
    for (key, value) in [
        ("media.receive_buffer_bytes", media.receive_buffer_bytes),
        ("media.send_buffer_bytes", media.send_buffer_bytes),
    ] {
        check(BUFFER_BYTES.contains(&value), key, "must be between 65536 and 1073741824");
    }
}

/// It stands in lines of calendars and mails.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    one.port() != 0
        && one.port() == other.port()
        && (one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified())
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

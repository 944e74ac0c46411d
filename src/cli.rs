//! The command line: what the user asked for, as values. It runs nothing.

use crate::config::Overrides;
use crate::identity::account::Login;
use crate::identity::{Scope, SiteRole};
use crate::text::Name;
use clap::{Args, Parser, Subcommand};
use consilium_signaling::access::{Claims, VideoGrants};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// A year. Longer is a slip of the pen, and a token cannot be taken back.
const TOKEN_TTL_SECONDS_MAX: u64 = 366 * 86_400;

/// A self-hosted video-meeting server for clinical multidisciplinary teams.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeArgs,
}

impl Cli {
    /// `serve` where nothing is named.
    pub fn into_command(self) -> Command {
        self.command.unwrap_or(Command::Serve(self.serve))
    }
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server (the default).
    Serve(ServeArgs),
    /// Print a token that lets one participant join one room.
    Token(TokenArgs),
    /// Keys of the REST API.
    ApiKey {
        #[command(subcommand)]
        command: ApiKeyCommand,
    },
    /// Accounts with a password.
    User {
        #[command(subcommand)]
        command: UserCommand,
    },
    /// The log of who did what.
    Audit {
        #[command(subcommand)]
        command: AuditCommand,
    },
    /// Copy the SQLite database to a file, while the server runs or not.
    Backup {
        /// A file that does not exist yet.
        file: PathBuf,
        #[command(flatten)]
        settings: FileArgs,
    },
    /// Put a backup in the place of the SQLite database. The server must be stopped.
    Restore {
        /// A file that `backup` wrote.
        file: PathBuf,
        /// Puts the present database aside.
        #[arg(long)]
        replace: bool,
        #[command(flatten)]
        settings: FileArgs,
    },
    /// Look at the configuration.
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
}

#[derive(Debug, Subcommand)]
pub enum ApiKeyCommand {
    /// Make a key and print it: the server itself keeps only a hash.
    Create {
        /// What the key is for.
        #[arg(long)]
        name: Name,
        /// What it may do; may be repeated.
        #[arg(long, required = true, value_enum)]
        scope: Vec<Scope>,
        /// How long it is valid: 90s, 30m, 8h or 7d. Absent: until it is revoked.
        #[arg(long, value_parser = parse_ttl)]
        ttl: Option<Duration>,
        #[command(flatten)]
        settings: FileArgs,
    },
}

#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Make an account and print its password: the first administrator comes into being this way.
    Create {
        /// What they sign in with.
        #[arg(long)]
        login: Login,
        /// The name that others see.
        #[arg(long)]
        name: Name,
        #[arg(long, value_enum)]
        role: SiteRole,
        #[command(flatten)]
        settings: FileArgs,
    },
    /// Print another password for an account, open it if it was closed, and end its sessions.
    ResetPassword {
        #[arg(long)]
        login: Login,
        #[command(flatten)]
        settings: FileArgs,
    },
}

#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Check the chain of hashes from the first entry to the last.
    Verify {
        #[command(flatten)]
        settings: FileArgs,
    },
    /// Print every entry as a line of JSON.
    Export {
        #[command(flatten)]
        settings: FileArgs,
    },
}

#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Check the configuration and print what would be used, without starting anything.
    Check(ServeArgs),
}

#[derive(Debug, Clone, Default, Args)]
pub struct FileArgs {
    /// Configuration file (TOML).
    #[arg(long, value_name = "FILE", env = "CONSILIUM_CONFIG")]
    pub config: Option<PathBuf>,
    /// Directory for what must outlive the server.
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

#[derive(Debug, Clone, Default, Args)]
pub struct ServeArgs {
    #[command(flatten)]
    pub file: FileArgs,
    /// Address of pages, API and WebSocket.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub http_listen: Option<SocketAddr>,
    /// Address of metrics and probes.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub ops_listen: Option<SocketAddr>,
    /// UDP port of the first media worker.
    #[arg(long, value_name = "PORT")]
    pub udp_port: Option<u16>,
    /// Media workers; 0 is one per core.
    #[arg(long, value_name = "NUMBER")]
    pub workers: Option<usize>,
    /// Address that media is received on; twice for IPv4 and IPv6.
    #[arg(long, value_name = "ADDRESS")]
    pub media_bind: Vec<IpAddr>,
    /// Address that clients are told to send media to; may be repeated.
    #[arg(long, value_name = "ADDRESS")]
    pub advertise: Vec<IpAddr>,
    /// Whether anyone may enter any room without a token.
    #[arg(long, value_name = "true|false")]
    pub open_rooms: Option<bool>,
    /// Log filter: a level, or target=level pairs.
    #[arg(long, value_name = "FILTER")]
    pub log: Option<String>,
}

impl FileArgs {
    pub fn overrides(&self) -> Overrides {
        let mut overrides = Overrides::default();
        let data_dir = self.data_dir.as_ref().map(|path| path.to_string_lossy().into_owned());
        overrides.set("data_dir", "--data-dir", data_dir);
        overrides
    }
}

impl ServeArgs {
    pub fn overrides(&self) -> Overrides {
        let addresses = |list: &[IpAddr]| {
            let texts: Vec<String> = list.iter().map(IpAddr::to_string).collect();
            (!texts.is_empty()).then_some(texts)
        };
        let mut overrides = self.file.overrides();
        overrides.set("http.listen", "--http-listen", self.http_listen.map(|address| address.to_string()));
        overrides.set("ops.listen", "--ops-listen", self.ops_listen.map(|address| address.to_string()));
        overrides.set("media.udp_port", "--udp-port", self.udp_port);
        overrides.set("media.workers", "--workers", self.workers);
        overrides.set("media.bind", "--media-bind", addresses(&self.media_bind));
        overrides.set("media.advertise", "--advertise", addresses(&self.advertise));
        overrides.set("open_rooms", "--open-rooms", self.open_rooms);
        overrides.set("log.filter", "--log", self.log.clone());
        overrides
    }
}

#[derive(Debug, Clone, Args)]
pub struct TokenArgs {
    #[command(flatten)]
    pub file: FileArgs,
    /// Room that may be joined.
    #[arg(long)]
    pub room: String,
    /// Identity, unique in the room.
    #[arg(long)]
    pub identity: String,
    /// Name that others see.
    #[arg(long, default_value = "")]
    pub name: String,
    /// How long the token is valid: 90s, 30m, 8h or 7d.
    #[arg(long, value_parser = parse_ttl, default_value = "8h")]
    pub ttl: Duration,
    /// May not send audio, video or data.
    #[arg(long)]
    pub no_publish: bool,
    /// May not receive audio or video.
    #[arg(long)]
    pub no_subscribe: bool,
    /// Is not shown to others.
    #[arg(long)]
    pub hidden: bool,
    /// May administer the room through the server API.
    #[arg(long)]
    pub admin: bool,
    /// May create, delete and list rooms through the server API.
    #[arg(long)]
    pub rooms: bool,
}

impl TokenArgs {
    pub fn claims(&self) -> Claims {
        Claims {
            identity: self.identity.clone(),
            name: self.name.clone(),
            video: VideoGrants {
                room: self.room.clone(),
                room_join: true,
                room_create: self.rooms,
                room_list: self.rooms,
                room_admin: self.admin,
                can_publish: self.no_publish.then_some(false),
                can_publish_data: self.no_publish.then_some(false),
                can_subscribe: self.no_subscribe.then_some(false),
                hidden: self.hidden,
                ..VideoGrants::default()
            },
            ..Claims::default()
        }
    }
}

fn parse_ttl(text: &str) -> Result<Duration, String> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let factor = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err("a number followed by s, m, h or d".into()),
    };
    let seconds = number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
    match seconds {
        Some(seconds @ 1..=TOKEN_TTL_SECONDS_MAX) => Ok(Duration::from_secs(seconds)),
        _ => Err("between one second and 366 days".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn serve_is_the_default_and_takes_its_flags_either_way() {
        for arguments in [&["consilium", "--workers", "2"][..], &["consilium", "serve", "--workers", "2"]] {
            let Command::Serve(serve) = Cli::try_parse_from(arguments).unwrap().into_command() else {
                panic!("not serve");
            };
            assert_eq!(serve.workers, Some(2));
        }
    }

    #[test]
    fn a_time_to_live_has_a_unit_and_bounds() {
        assert_eq!(parse_ttl("8h"), Ok(Duration::from_secs(28_800)));
        assert_eq!(parse_ttl("90"), Ok(Duration::from_secs(90)));
        for wrong in ["", "h", "0s", "-1s", "1w", "367d", "99999999999999999999d", "1.5h", "ü"] {
            assert!(parse_ttl(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn flags_take_grants_away() {
        let Command::Token(token) =
            Cli::try_parse_from(["consilium", "token", "--room", "r", "--identity", "i", "--no-publish", "--hidden"])
                .unwrap()
                .into_command()
        else {
            panic!("not token");
        };
        let claims = token.claims();
        assert_eq!(claims.join_room(), Ok("r"));
        assert!(claims.video.hidden && !claims.video.may_publish_data() && claims.video.may_subscribe());
        assert!(!claims.video.room_admin);
    }
}

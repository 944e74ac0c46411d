//! The command line and the configuration, from outside: layers, errors, tokens, development credentials.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise, helpers included")]

use consilium::config::{self, ConfigErrors, Loaded, Overrides};
use consilium_signaling::access::{ApiKeys, Claims};
use std::io::BufRead;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::SystemTime;

const SECRET: &str = "a secret of enough length to be a secret";

/// A directory of its own, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("consilium-cli-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, text: &str) -> PathBuf {
        let path = self.0.join("consilium.toml");
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn load(file: Option<&Path>, environment: &[(&str, &str)], overrides: Overrides) -> Result<Loaded, ConfigErrors> {
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    config::load(file, environment, overrides)
}

fn error(file: Option<&Path>, environment: &[(&str, &str)], overrides: Overrides) -> String {
    load(file, environment, overrides).unwrap_err().to_string()
}

fn command(folder: &Folder, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_consilium"));
    command.args(arguments).current_dir(&folder.0).env_clear().stdin(Stdio::null());
    command
}

fn run(folder: &Folder, arguments: &[&str]) -> Output {
    command(folder, arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn the_defaults_are_valid_and_stay_on_loopback() {
    let config = load(None, &[], Overrides::default()).unwrap().config;
    assert!(config.http.listen.ip().is_loopback() && config.ops.listen.ip().is_loopback());
    assert_eq!((config.http.listen.port(), config.ops.listen.port(), config.media.udp_port), (8080, 9091, 7882));
    let (v4, v6) = config.media_bind();
    assert!(v4.is_some_and(|address| address.is_loopback()));
    assert!(v6.is_none_or(|address| address.is_loopback()));
    assert!(config.open_rooms() && config.simulate());
}

#[test]
fn real_credentials_close_the_rooms_and_open_media() {
    let environment = [("CONSILIUM_API_KEY", "key"), ("CONSILIUM_API_SECRET", SECRET)];
    let config = load(None, &environment, Overrides::default()).unwrap().config;
    assert!(!config.open_rooms() && !config.simulate());
    assert!(config.media_bind().0.is_some_and(|address| address.is_unspecified()));
    assert!(config.http.listen.ip().is_loopback(), "HTTP opens only where told to");
}

#[test]
fn each_layer_wins_over_the_one_below() {
    let folder = Folder::new("layers");
    let file =
        folder.file("[rooms]\nempty_timeout_seconds = 1\n[http]\nlisten = \"127.0.0.1:1001\"\n[media]\nworkers = 1\n");
    let environment = [("CONSILIUM_HTTP__LISTEN", "127.0.0.1:1002"), ("CONSILIUM_MEDIA__WORKERS", "2")];
    let mut overrides = Overrides::default();
    overrides.set("media.workers", "--workers", Some(3usize));
    let config = load(Some(&file), &environment, overrides).unwrap().config;
    assert_eq!(config.rooms.departure_timeout_seconds, 20, "built in");
    assert_eq!(config.rooms.empty_timeout_seconds, 1, "from the file");
    assert_eq!(config.http.listen.port(), 1002, "from the environment");
    assert_eq!(config.media.workers, 3, "from the flag");
}

#[test]
fn an_error_names_key_value_and_source() {
    let folder = Folder::new("errors");
    let file = folder.file("[http]\nlisten = \"nowhere\"\n");
    let message = error(Some(&file), &[], Overrides::default());
    for part in ["http.listen", "\"nowhere\"", "consilium.toml", "socket address"] {
        assert!(message.contains(part), "{part} is missing in: {message}");
    }

    let message = error(None, &[("CONSILIUM_MEDIA__WORKERS", "many")], Overrides::default());
    for part in ["media.workers", "\"many\"", "environment variable CONSILIUM_MEDIA__WORKERS"] {
        assert!(message.contains(part), "{part} is missing in: {message}");
    }

    let mut overrides = Overrides::default();
    overrides.set("media.workers", "--workers", Some(5_000usize));
    let message = error(None, &[], overrides);
    for part in ["media.workers", "5000", "flag --workers", "at most 512"] {
        assert!(message.contains(part), "{part} is missing in: {message}");
    }
}

#[test]
fn an_unknown_key_is_refused_wherever_it_stands() {
    let folder = Folder::new("unknown");
    for text in ["nonsense = 1\n", "[http]\nnonsense = 1\n"] {
        let file = folder.file(text);
        let message = error(Some(&file), &[], Overrides::default());
        for part in ["nonsense", "there is no such key", "consilium.toml"] {
            assert!(message.contains(part), "{part} is missing in: {message}");
        }
    }
    let message = error(None, &[("CONSILIUM_HTTP__NONSENSE", "1")], Overrides::default());
    assert!(message.contains("http.nonsense") && message.contains("CONSILIUM_HTTP__NONSENSE"), "{message}");
}

#[test]
fn variables_that_kubernetes_makes_for_a_service_of_our_name_are_ignored() {
    let environment = [("CONSILIUM_PORT", "tcp://10.0.0.1:80"), ("CONSILIUM_SERVICE_HOST", "10.0.0.1")];
    let loaded = load(None, &environment, Overrides::default()).unwrap();
    assert_eq!(loaded.ignored_variables, ["CONSILIUM_PORT", "CONSILIUM_SERVICE_HOST"]);
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let folder = Folder::new("several");
    let file = folder.file(
        "[media]\nudp_port = 65535\nworkers = 2\nadvertise = [\"0.0.0.0\"]\nbind = [\"10.0.0.1\", \"10.0.0.2\"]\n\
         receive_buffer_bytes = 1\n[ops]\nlisten = \"127.0.0.1:8080\"\n[log]\nfilter = \"a=b=c\"\n[http]\nconnections_max = 0\n",
    );
    let message = error(Some(&file), &[], Overrides::default());
    for key in [
        "media.udp_port",
        "media.advertise",
        "media.bind",
        "media.receive_buffer_bytes",
        "ops.listen",
        "log.filter",
        "http.connections_max",
    ] {
        assert!(message.contains(key), "{key} is missing in: {message}");
    }
}

#[test]
fn a_secret_is_never_in_a_message() {
    let folder = Folder::new("secret");
    let short = "tooshort-but-private";
    let message = error(None, &[("CONSILIUM_API_KEY", "key"), ("CONSILIUM_API_SECRET", short)], Overrides::default());
    assert!(message.contains("api.secret") && message.contains("32 characters"), "{message}");
    assert!(!message.contains(short), "{message}");

    for text in [
        format!("[api]\nsecret = [\"{short}\"]\n"),
        format!("[api]\nsecret = \"{short}\n"),
        format!("[api]\nkey = \"k\"\nsecret = \"{short}\" x\n"),
    ] {
        let file = folder.file(&text);
        let message = error(Some(&file), &[], Overrides::default());
        assert!(!message.contains(short), "{message}");
        assert!(message.contains("consilium.toml"), "{message}");
    }
    let loaded = load(None, &[("CONSILIUM_API_KEY", "key"), ("CONSILIUM_API_SECRET", SECRET)], Overrides::default());
    assert!(!format!("{loaded:?}").contains(SECRET));
}

#[test]
fn credentials_come_in_pairs() {
    let message = error(None, &[("CONSILIUM_API_KEY", "key")], Overrides::default());
    assert!(message.contains("api.secret") && message.contains("must be set"), "{message}");
    let message = error(None, &[("CONSILIUM_API_SECRET", SECRET)], Overrides::default());
    assert!(message.contains("api.key"), "{message}");
}

#[test]
fn values_that_look_like_numbers_stay_texts_where_texts_are_meant() {
    let digits = "01234567890123456789012345678901";
    let environment = [("CONSILIUM_API_KEY", "42"), ("CONSILIUM_API_SECRET", digits), ("CONSILIUM_DATA_DIR", "2026")];
    let config = load(None, &environment, Overrides::default()).unwrap().config;
    assert_eq!(config.api.key.as_deref(), Some("42"));
    assert_eq!(config.api.secret.unwrap().expose(), digits);
    assert_eq!(config.data_dir, PathBuf::from("2026"));
}

#[test]
fn advertised_addresses_may_be_separated_by_commas() {
    let environment = [("CONSILIUM_MEDIA__ADVERTISE", "203.0.113.7, 2001:db8::7")];
    let config = load(None, &environment, Overrides::default()).unwrap().config;
    assert_eq!(config.media.advertise.len(), 2);
    let environment = [("CONSILIUM_MEDIA__ADVERTISE", "[\"203.0.113.7\"]")];
    assert_eq!(load(None, &environment, Overrides::default()).unwrap().config.media.advertise.len(), 1);
}

#[test]
fn development_credentials_do_not_leave_loopback() {
    let folder = Folder::new("loopback");
    for arguments in [
        &["serve", "--http-listen", "0.0.0.0:0"][..],
        &["config", "check", "--http-listen", "[::]:0"],
        &["--http-listen", "192.0.2.1:0"],
    ] {
        let output = run(&folder, arguments);
        assert!(!output.status.success(), "{arguments:?}");
        let message = text(&output.stderr);
        for part in ["http.listen", "flag --http-listen", "CONSILIUM_API_KEY"] {
            assert!(message.contains(part), "{part} is missing in: {message}");
        }
    }
    assert!(!folder.0.join("data").exists(), "nothing is written before the configuration is good");
}

#[test]
fn the_development_pair_is_made_once_and_is_private() {
    let folder = Folder::new("pair");
    let token = ["token", "--room", "mdt", "--identity", "dr-1"];
    assert!(run(&folder, &token).status.success());
    let file = folder.0.join("data/development-credentials.toml");
    let first = std::fs::read_to_string(&file).unwrap();
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(run(&folder, &token).status.success());
    assert_eq!(std::fs::read_to_string(&file).unwrap(), first);
    assert_eq!(std::fs::read_dir(folder.0.join("data")).unwrap().count(), 1, "no temporary file is left");

    std::fs::write(&file, "key = \"x\"\n").unwrap();
    let output = run(&folder, &token);
    assert!(!output.status.success());
    assert!(text(&output.stderr).contains("damaged"), "{}", text(&output.stderr));
}

#[test]
fn processes_that_start_together_agree_on_the_pair() {
    let folder = Folder::new("race");
    let arguments = ["token", "--room", "mdt", "--identity", "dr-1"];
    let children: Vec<_> =
        (0..8).map(|_| command(&folder, &arguments).stdout(Stdio::piped()).spawn().unwrap()).collect();
    let tokens: Vec<String> =
        children.into_iter().map(|child| text(&child.wait_with_output().unwrap().stdout).trim().to_owned()).collect();
    let keys = consilium::credentials::resolve(&consilium::config::Config {
        data_dir: folder.0.join("data"),
        ..consilium::config::Config::default()
    })
    .unwrap();
    for token in tokens {
        assert!(keys.verify(&token, SystemTime::now()).is_ok());
    }
}

#[test]
fn a_token_carries_what_the_flags_say() {
    let folder = Folder::new("token");
    let output = command(
        &folder,
        &["token", "--room", "mdt", "--identity", "dr-1", "--name", "Dr One", "--ttl", "5m", "--no-publish", "--admin"],
    )
    .env("CONSILIUM_API_KEY", "key")
    .env("CONSILIUM_API_SECRET", SECRET)
    .output()
    .unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let now = SystemTime::now();
    let claims: Claims = ApiKeys::single("key", SECRET).verify(text(&output.stdout).trim(), now).unwrap();
    assert_eq!((claims.identity.as_str(), claims.name.as_str(), claims.join_room()), ("dr-1", "Dr One", Ok("mdt")));
    assert!(claims.video.may_administer("mdt") && !claims.video.may_publish_data() && !claims.video.hidden);
    let seconds = now.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    assert!((seconds + 295..=seconds + 300).contains(&claims.exp));
}

#[test]
fn config_check_prints_what_is_in_effect_without_the_secret() {
    let folder = Folder::new("check");
    let file =
        folder.file(&format!("[api]\nkey = \"key\"\nsecret = \"{SECRET}\"\n[http]\nlisten = \"0.0.0.0:8443\"\n"));
    let output = run(&folder, &["config", "check", "--config", file.to_str().unwrap()]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let printed = text(&output.stdout);
    assert!(printed.contains("listen = \"0.0.0.0:8443\"") && printed.contains("[hidden]"), "{printed}");
    assert!(!printed.contains(SECRET));
    assert!(!folder.0.join("data").exists(), "a check writes nothing");
}

#[test]
fn a_missing_or_broken_file_is_named() {
    let folder = Folder::new("files");
    let output = run(&folder, &["--config", "absent.toml"]);
    assert!(!output.status.success());
    assert!(text(&output.stderr).contains("absent.toml"), "{}", text(&output.stderr));
    folder.file("a = 1\nb = = 2\n");
    let output = command(&folder, &["config", "check"]).env("CONSILIUM_CONFIG", "consilium.toml").output().unwrap();
    assert!(!output.status.success());
    assert!(text(&output.stderr).contains("line 2"), "{}", text(&output.stderr));
}

#[test]
fn the_server_prints_a_link_logs_in_json_and_stops_in_order() {
    let folder = Folder::new("serve");
    let file = folder.file(
        "[http]\nlisten = \"127.0.0.1:0\"\n[ops]\nlisten = \"127.0.0.1:0\"\n[media]\nudp_port = 0\nworkers = 1\n\
         [log]\nformat = \"json\"\n",
    );
    for signal in ["-TERM", "-INT"] {
        let mut child = command(&folder, &["--config", file.to_str().unwrap()])
            .env("CONSILIUM_PORT", "tcp://10.0.0.1:80")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // The link is printed once everything listens.
        let mut link = String::new();
        std::io::BufReader::new(child.stdout.take().unwrap()).read_line(&mut link).unwrap();
        assert!(link.contains("http://localhost:") && link.trim().ends_with("/m/first-meeting"), "{link}");
        assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{signal}");
        let log = text(&output.stderr);
        let lines: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        for part in
            ["development credentials are in use", "rooms are open", "CONSILIUM_PORT", "the server is ready", "stopped"]
        {
            assert!(log.contains(part), "{part} is missing in: {log}");
        }
        assert!(lines.iter().all(|line| line["level"].is_string() && line["timestamp"].is_string()));
        let pair = std::fs::read_to_string(folder.0.join("data/development-credentials.toml")).unwrap();
        let pair: toml::Table = pair.parse().unwrap();
        assert!(!log.contains(pair["secret"].as_str().unwrap()));
    }
}

#[test]
fn the_database_url_is_a_secret_and_of_postgresql() {
    let url = "postgres://consilium:hunter2@db/consilium";
    let environment = [("CONSILIUM_STORE__URL", url)];
    let config = load(None, &environment, Overrides::default()).unwrap().config;
    assert!(matches!(config.store_place(), consilium::store::Place::Postgres { .. }));
    assert!(!format!("{config:?}").contains("hunter2"));
    let folder = Folder::new("url");
    let checked = command(&folder, &["config", "check"]).env("CONSILIUM_STORE__URL", url).output().unwrap();
    assert!(checked.status.success() && text(&checked.stdout).contains("[store]"));
    assert!(!text(&checked.stdout).contains("hunter2") && text(&checked.stderr).is_empty());
    let message = error(None, &[("CONSILIUM_STORE__URL", "mysql://x:hunter2@db/c")], Overrides::default());
    assert!(
        message.contains("store.url") && message.contains("postgres://") && !message.contains("hunter2"),
        "{message}"
    );
    // Nobody listens there; the password is not told either.
    let url = "postgres://consilium:hunter2@127.0.0.1:1/consilium";
    let failed = command(&folder, &["audit", "verify"]).env("CONSILIUM_STORE__URL", url).output().unwrap();
    assert!(!failed.status.success());
    assert!(!text(&failed.stderr).contains("hunter2"), "{}", text(&failed.stderr));
}

#[test]
fn a_key_is_made_once_and_its_making_is_in_the_audit_log() {
    let folder = Folder::new("keys");
    let made = run(&folder, &["api-key", "create", "--name", "Calendar of the trust", "--scope", "meetings:write"]);
    assert!(made.status.success(), "{}", text(&made.stderr));
    let key = text(&made.stdout).trim();
    assert!(key.starts_with("ck_") && key.len() == 73, "{key}");
    for wrong in [
        &["api-key", "create", "--name", "x"][..],
        &["api-key", "create", "--name", "x", "--scope", "root"],
        &["api-key", "create", "--name", "", "--scope", "meetings:read"],
        &["api-key", "create", "--name", "x", "--scope", "meetings:read", "--ttl", "0s"],
    ] {
        assert!(!run(&folder, wrong).status.success(), "{wrong:?}");
    }
    let exported = run(&folder, &["audit", "export"]);
    let lines: Vec<serde_json::Value> =
        text(&exported.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let acts: Vec<_> = lines.iter().map(|line| line["action"].as_str().unwrap()).collect();
    assert_eq!(acts, ["api_key.created", "audit.exported"]);
    assert_eq!((&lines[0]["actor"], &lines[1]["previous_hash"]), (&"cli".into(), &lines[0]["hash"]));
    assert!(!text(&exported.stdout).contains("Calendar") && !text(&exported.stdout).contains(&key[30..]));

    let verified = run(&folder, &["audit", "verify"]);
    assert!(verified.status.success());
    assert!(
        text(&verified.stdout).contains("2 entries")
            && text(&verified.stdout).contains(lines[1]["hash"].as_str().unwrap())
    );
    let mode = |name: &str| std::fs::metadata(folder.0.join("data").join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("consilium.db"), mode("")), (0o600, 0o700));
}

#[test]
fn what_is_over_is_removed_by_command_and_the_audit_log_says_so() {
    let folder = Folder::new("retention");
    let key = ["api-key", "create", "--name", "x", "--scope", "meetings:read"];
    assert!(run(&folder, &key).status.success());
    let nothing = run(&folder, &["retention", "run"]);
    assert_eq!(text(&nothing.stdout), "Nothing was over.\n", "{}", text(&nothing.stderr));
    let file = folder.file("[retention]\naudit_days = 36526\n");
    let refused = run(&folder, &["retention", "run", "--config", file.to_str().unwrap()]);
    assert!(!refused.status.success());
    assert!(text(&refused.stderr).contains("retention.audit_days"), "{}", text(&refused.stderr));
    // The clock cannot be turned, so the row is; its hash says so, which does not matter where it goes.
    let database = format!("sqlite://{}", folder.0.join("data/consilium.db").display());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        sqlx::any::install_default_drivers();
        let mut connection = <sqlx::AnyConnection as sqlx::Connection>::connect(&database).await.unwrap();
        sqlx::raw_sql("UPDATE audit SET at_ms = 1").execute(&mut connection).await.unwrap();
    });
    let file = folder.file("[retention]\naudit_days = 1\n");
    let removed = run(&folder, &["retention", "run", "--config", file.to_str().unwrap()]);
    assert_eq!(text(&removed.stdout), "Removed of audit: 1.\n", "{}", text(&removed.stderr));
    let verified = run(&folder, &["audit", "verify"]);
    assert!(verified.status.success(), "{}", text(&verified.stderr));
    assert!(text(&verified.stdout).contains("2 entries") && text(&verified.stdout).contains("up to 1 were removed"));
}

#[test]
fn the_first_administrator_and_who_forgot_a_password_get_one_from_the_command_line() {
    let folder = Folder::new("users");
    let create = ["user", "create", "--login", "Ann", "--name", "Dr Ann Wombat", "--role", "administrator"];
    let made = run(&folder, &create);
    assert!(made.status.success(), "{}", text(&made.stderr));
    let password = text(&made.stdout).trim().to_owned();
    assert_eq!(password.len(), 20, "{password}");
    let again = run(&folder, &create);
    assert!(!again.status.success() && text(&again.stderr).contains("already"), "{}", text(&again.stderr));
    for wrong in [
        &["user", "create", "--login", "ann two", "--name", "x", "--role", "member"][..],
        &["user", "create", "--login", "\u{430}nn", "--name", "x", "--role", "member"],
        &["user", "create", "--login", "ben", "--name", "x\u{202e}", "--role", "member"],
        &["user", "create", "--login", "ben", "--name", "x", "--role", "root"],
        &["user", "reset-password", "--login", "ben"],
    ] {
        assert!(!run(&folder, wrong).status.success(), "{wrong:?}");
    }
    let reset = run(&folder, &["user", "reset-password", "--login", "ann"]);
    assert!(reset.status.success() && text(&reset.stdout).trim() != password, "{}", text(&reset.stderr));
    let exported = run(&folder, &["audit", "export"]);
    let lines: Vec<serde_json::Value> =
        text(&exported.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let acts: Vec<_> = lines.iter().map(|line| line["action"].as_str().unwrap()).collect();
    assert_eq!(acts, ["user.created", "user.password_reset", "audit.exported"]);
    for secret in [password.as_str(), text(&reset.stdout).trim(), "Wombat"] {
        assert!(!text(&exported.stdout).contains(secret), "{secret}");
    }
}

#[test]
fn an_identity_provider_is_configured_by_file_and_its_secret_by_the_environment() {
    const NHS: &str = "[http]\npublic_url = \"https://Meet.example.org\"\n[identity.providers.nhs]\nname = \"NHS\"\n\
        issuer = \"https://login.example.org/realms/nhs\"\nclient_id = \"meet\"\n\
        [identity.providers.nhs.roles]\ncoordinator = [\"mdt\"]\n";
    let folder = Folder::new("provider");
    let file = folder.file(NHS);
    let secret = [("CONSILIUM_IDENTITY__PROVIDERS__NHS__CLIENT_SECRET", "12345678hunter2")];
    let config = load(Some(&file), &secret, Overrides::default()).unwrap().config;
    let provider = &config.identity.providers["nhs"];
    assert_eq!(provider.client_secret.as_ref().map(|secret| secret.expose()), Some("12345678hunter2"));
    assert_eq!((provider.scopes.len(), provider.claims.name.as_str(), provider.user_info), (2, "name", true));
    assert_eq!(config.http.public_url.as_ref().map(|url| url.origin()), Some("https://meet.example.org"));
    assert!(!format!("{config:?}").contains("hunter2"));
    let path = file.to_str().unwrap();
    let mut check = command(&folder, &["config", "check", "--config", path]);
    let checked = check.env(secret[0].0, secret[0].1).output().unwrap();
    assert!(checked.status.success() && text(&checked.stdout).contains("[identity.providers.nhs]"));
    assert!(!text(&checked.stdout).contains("hunter2"));
    for (wrong, instead, key) in [
        ("https://Meet.example.org", "http://meet.example.org", "http.public_url"),
        ("https://Meet.example.org", "https://meet.example.org/x", "http.public_url"),
        ("https://login.example.org", "http://login.example.org", "identity.providers.nhs.issuer"),
        ("https://login.example.org", "login", "identity.providers.nhs.issuer"),
        ("\"meet\"", "\"\"", "identity.providers.nhs.client_id"),
        ("providers.nhs", "providers.NHS", "identity.providers.NHS"),
        ("client_id", "client", "identity.providers.nhs"),
        ("public_url = \"https://Meet.example.org\"", "", "http.public_url"),
    ] {
        let message = error(Some(&folder.file(&NHS.replace(wrong, instead))), &[], Overrides::default());
        assert!(message.contains(key), "{wrong} -> {instead}: {message}");
    }
    let numbers = [(secret[0].0, "[1, 2, 777123]")];
    let config = load(Some(&folder.file(NHS)), &numbers, Overrides::default()).unwrap().config;
    assert_eq!(
        config.identity.providers["nhs"].client_secret.as_ref().map(|secret| secret.expose()),
        Some("[1, 2, 777123]")
    );
    let listed = NHS.replace("client_id", "client_secret = [\"hunter2\"]\nclient_id");
    let message = error(Some(&folder.file(&listed)), &[], Overrides::default());
    assert!(message.contains("client_secret") && !message.contains("hunter2"), "{message}");
}

#[test]
fn a_backup_is_taken_beside_a_running_server_and_restored_when_it_has_stopped() {
    let folder = Folder::new("backup");
    let file = folder.file(
        "[http]\nlisten = \"127.0.0.1:0\"\n[ops]\nlisten = \"127.0.0.1:0\"\n[media]\nudp_port = 0\nworkers = 1\n",
    );
    let config = file.to_str().unwrap();
    let mut server =
        command(&folder, &["--config", config]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    std::io::BufReader::new(server.stdout.take().unwrap()).read_line(&mut String::new()).unwrap();
    let key = ["api-key", "create", "--config", config, "--name", "x", "--scope", "meetings:read"];
    assert!(run(&folder, &key).status.success(), "beside the running server");
    let copied = run(&folder, &["backup", "--config", config, "copy.db"]);
    assert!(copied.status.success(), "{}", text(&copied.stderr));
    let refused = run(&folder, &["restore", "--config", config, "--replace", "copy.db"]);
    assert!(!refused.status.success());
    assert!(text(&refused.stderr).contains("another process"), "{}", text(&refused.stderr));
    assert!(Command::new("kill").arg(server.id().to_string()).status().unwrap().success());
    assert!(server.wait().unwrap().success());
    assert!(run(&folder, &key).status.success());
    let entries = || text(&run(&folder, &["audit", "verify", "--config", config]).stdout).to_owned();
    assert!(entries().contains("2 entries"));
    let refused = run(&folder, &["restore", "--config", config, "copy.db"]);
    assert!(!refused.status.success() && text(&refused.stderr).contains("--replace"));
    let restored = run(&folder, &["restore", "--config", config, "--replace", "copy.db"]);
    assert!(restored.status.success() && text(&restored.stdout).contains("replaced-"), "{}", text(&restored.stderr));
    assert!(entries().contains("1 entries"));
}

#[test]
fn the_version_is_printed() {
    let output = run(&Folder::new("version"), &["--version"]);
    assert_eq!(text(&output.stdout).trim(), concat!("consilium ", env!("CARGO_PKG_VERSION")));
}

//! The databases that the store's tests run on: SQLite in a folder, and a PostgreSQL cluster that is started for this
//! process and goes away with it.

use consilium::config::Secret;
use consilium::store::{Place, Store};
use sqlx::Connection;
use std::io::Write;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex};

/// A database of its own, gone with the value.
pub(crate) struct Database {
    pub(crate) name: &'static str,
    pub(crate) place: Place,
    folder: PathBuf,
}

impl Database {
    pub(crate) fn sqlite() -> Self {
        let folder = folder("store");
        Self { name: "SQLite", place: Place::Sqlite { data_dir: folder.clone() }, folder }
    }

    async fn postgres(cluster: &Cluster) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let name = format!("test_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let mut connection = sqlx::AnyConnection::connect(&cluster.url("postgres")).await.unwrap();
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut connection).await.unwrap();
        let url = Secret::new(cluster.url(&name));
        Self { name: "PostgreSQL", place: Place::Postgres { url, connections_max: 8 }, folder: folder("none") }
    }

    pub(crate) async fn open(&self) -> Store {
        Store::open(&self.place).await.unwrap()
    }

    /// A connection beside the store, for what only a hand that has no business there would do.
    pub(crate) async fn meddle(&self, statement: &'static str) {
        match &self.place {
            Place::Sqlite { data_dir } => meddle(data_dir, statement).await,
            Place::Postgres { url, .. } => execute(url.expose(), statement).await,
        }
    }

    /// For a child process: see [`place_from`].
    pub(crate) fn describe(&self) -> String {
        match &self.place {
            Place::Sqlite { data_dir } => data_dir.display().to_string(),
            Place::Postgres { url, .. } => url.expose().to_owned(),
        }
    }
}

/// The same in the data directory of a server.
pub(crate) async fn meddle(data_dir: &Path, statement: &'static str) {
    execute(&format!("sqlite://{}/consilium.db", data_dir.display()), statement).await;
}

async fn execute(url: &str, statement: &'static str) {
    let mut connection = sqlx::AnyConnection::connect(url).await.unwrap();
    sqlx::raw_sql(statement).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

pub(crate) fn place_from(description: &str) -> Place {
    if description.starts_with("postgres:") {
        Place::Postgres { url: Secret::new(description), connections_max: 4 }
    } else {
        Place::Sqlite { data_dir: description.into() }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// One of each kind. Without PostgreSQL on this machine, SQLite alone; in CI that is a failure.
pub(crate) async fn databases() -> Vec<Database> {
    sqlx::any::install_default_drivers();
    let mut databases = vec![Database::sqlite()];
    match &*CLUSTER {
        Some(cluster) => databases.push(Database::postgres(cluster).await),
        None => assert!(std::env::var_os("CI").is_none(), "PostgreSQL is not installed; scripts/test-tools does it"),
    }
    databases
}

pub(crate) fn folder(name: &str) -> PathBuf {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("consilium-{name}-{}-{number}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).unwrap();
    path
}

static CLUSTER: LazyLock<Option<Cluster>> = LazyLock::new(Cluster::start);

/// A PostgreSQL server that listens on a socket in its own folder.
struct Cluster {
    folder: PathBuf,
    /// Its standard input ends with this process, and the server with that.
    _shell: Mutex<Child>,
}

impl Cluster {
    fn start() -> Option<Self> {
        let programs = programs()?;
        let folder = folder("postgres");
        // PostgreSQL refuses to run as root.
        let user = is_root().then_some("postgres");
        if user.is_some() {
            let id = |flag| {
                let output = Command::new("id").args([flag, "postgres"]).output().unwrap();
                String::from_utf8(output.stdout).unwrap().trim().parse::<u32>().unwrap()
            };
            chown(&folder, Some(id("-u")), Some(id("-g"))).unwrap();
        }
        let data = folder.join("data");
        let made = command(user, &programs.join("initdb"))
            .args(["--auth=trust", "--username=consilium", "--encoding=UTF8", "--no-sync", "--pgdata"])
            .arg(&data)
            .current_dir(&folder)
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        // A statement of the shell for each: start, wait for the tests to end, stop, clean up.
        let script = "\"$@\" >log 2>&1 & server=$!; cat; kill -QUIT $server; wait; cd /; rm -rf \"$FOLDER\"";
        let server = command(user, &programs.join("postgres"));
        let mut shell = Command::new("sh");
        shell.args(["-c", script, "sh"]).arg(server.get_program()).args(server.get_args());
        shell.args(["-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=200", "-k"]).arg(&folder);
        shell.arg("-D").arg(&data).current_dir(&folder).env("FOLDER", &folder);
        let mut shell = shell.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        shell.stdin.as_mut().unwrap().flush().unwrap();
        let cluster = Self { folder, _shell: Mutex::new(shell) };
        cluster.wait();
        Some(cluster)
    }

    /// Until it accepts connections, which `pg_isready` waits for by itself only once.
    fn wait(&self) {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
        loop {
            let ready = Command::new("pg_isready").arg("-h").arg(&self.folder).stdout(Stdio::null()).status();
            if ready.is_ok_and(|status| status.success()) {
                return;
            }
            let log = || std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            assert!(std::time::Instant::now() < deadline, "PostgreSQL did not start: {}", log());
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }

    fn url(&self, database: &str) -> String {
        let folder = self.folder.display().to_string().replace('/', "%2F");
        format!("postgres://consilium@{folder}/{database}")
    }
}

/// As Debian installs it: one folder for each major version.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let mut folders: Vec<PathBuf> = versions.flatten().map(|entry| entry.path().join("bin")).collect();
    folders.retain(|folder| folder.join("postgres").exists() && folder.join("initdb").exists());
    folders.sort();
    folders.pop()
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().unwrap();
    output.stdout.trim_ascii() == b"0"
}

/// `setpriv` becomes the program instead of waiting for it, so that a signal reaches the right one.
fn command(user: Option<&str>, program: &Path) -> Command {
    match user {
        Some(user) => {
            let mut command = Command::new("setpriv");
            command.args(["--reuid", user, "--regid", user, "--clear-groups", "--"]).arg(program);
            command
        }
        None => Command::new(program),
    }
}

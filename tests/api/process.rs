//! The program as it is installed, in a folder of its own, with everything in its log that can be there.

use crate::harness::{Answer, Request};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

pub(crate) struct Process {
    child: Child,
    log: Receiver<String>,
    seen: Vec<String>,
    pub(crate) http: SocketAddr,
    pub(crate) ops: SocketAddr,
}

impl Process {
    /// In `folder`, with these environment variables.
    pub(crate) fn start(folder: &Path, environment: &[(&str, &str)]) -> Self {
        let mut child = program(folder)
            .args(["--http-listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0", "--udp-port", "0"])
            .args(["--workers", "1", "--log", "trace"])
            .env("CONSILIUM_LOG__FORMAT", "json")
            .envs(environment.iter().copied())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, log) = channel();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        // Ends with the process.
        std::thread::spawn(move || lines.map_while(Result::ok).all(|line| sender.send(line).is_ok()));
        let mut seen = Vec::new();
        let (http, ops) = loop {
            let line = log.recv_timeout(Duration::from_secs(30)).expect("the server gets ready");
            seen.push(line);
            let line: Value = serde_json::from_str(seen.last().unwrap()).unwrap();
            let fields = &line["fields"];
            if fields["message"] == "the server is ready" {
                let address = |name: &str| fields[name].as_str().unwrap().parse().unwrap();
                break (address("http"), address("ops"));
            }
        };
        Self { child, log, seen, http, ops }
    }

    pub(crate) async fn json(&self, method: &str, path: &str, body: &Value, key: &str, status: u16) -> Answer {
        let answer = Request::json(method, path, body).header("If-Match", "*").bearer(key).send(self.http).await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
        answer
    }

    /// The whole log, of a server that has ended.
    pub(crate) fn stop(mut self) -> Vec<String> {
        assert!(Command::new("kill").arg(self.child.id().to_string()).status().unwrap().success());
        assert!(self.child.wait().unwrap().success());
        self.seen.extend(self.log.iter());
        std::mem::take(&mut self.seen)
    }

    /// Without a chance to finish anything.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has ended already, unless the test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn program(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_consilium"));
    command.current_dir(folder).env_clear().stdin(Stdio::null());
    command
}

/// A key of the server whose data is in `folder`.
pub(crate) fn api_key(folder: &Path, name: &str, scopes: &[&str]) -> String {
    let mut create = program(folder);
    create.args(["api-key", "create", "--name", name]);
    for scope in scopes {
        create.args(["--scope", scope]);
    }
    let made = create.output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    String::from_utf8(made.stdout).unwrap().trim().to_owned()
}

/// Empty, and gone with the value.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        Self(crate::databases::folder(name))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

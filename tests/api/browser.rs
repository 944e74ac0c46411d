//! A browser as far as signing in needs one: it keeps cookies and says where a request comes from. Beside it, accounts.

use crate::harness::{Answer, Request, Server};
use consilium::identity::SiteRole;
use consilium::identity::account::{Login, Proof, User};
use consilium::identity::password::Password;
use consilium::moment::Moment;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::LazyLock;

pub(crate) const SESSION: &str = "/api/v1/session";
pub(crate) const PASSWORD: &str = "three blue horses";

/// One hash for all: each takes its time.
static HASH: LazyLock<consilium::identity::password::PasswordHash> =
    LazyLock::new(|| Password::chosen(PASSWORD, "").unwrap().hash().unwrap());

/// An account with [`PASSWORD`].
pub(crate) async fn account(server: &Server, login: &str, role: SiteRole) -> User {
    let proof = Proof::Password { login: Login::new(login).unwrap(), hash: HASH.clone() };
    let user = User::new(format!("Dr {login}").parse().unwrap(), role, proof, Moment::now());
    let mut write = server.app.store().write().await.unwrap();
    write.insert_user(&user).await.unwrap();
    write.commit().await.unwrap();
    user
}

#[derive(Clone, Default)]
pub(crate) struct Browser {
    pub(crate) cookies: BTreeMap<String, String>,
}

impl Browser {
    /// One of somebody with a new account, who has signed in.
    pub(crate) async fn of(server: &Server, login: &str, role: SiteRole) -> (Self, User) {
        let user = account(server, login, role).await;
        let mut browser = Self::default();
        let answer = browser.sign_in(server, login, PASSWORD).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        (browser, user)
    }

    pub(crate) async fn sign_in(&mut self, server: &Server, login: &str, password: &str) -> Answer {
        let body = json!({"login": login, "password": password});
        self.send(server, Request::json("POST", SESSION, &body)).await
    }

    /// As one of our own pages sends it.
    pub(crate) async fn send(&mut self, server: &Server, request: Request<'_>) -> Answer {
        let request = request.header("Sec-Fetch-Site", "same-origin").header("Consilium-Request", "1");
        self.send_from_anywhere(server, request).await
    }

    /// With its cookies and nothing else.
    pub(crate) async fn send_from_anywhere(&mut self, server: &Server, request: Request<'_>) -> Answer {
        let answer = server.http(&request.header("Cookie", self.cookie_header())).await;
        self.keep(&answer);
        answer
    }

    pub(crate) fn cookie_header(&self) -> String {
        let pairs: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        pairs.join("; ")
    }

    pub(crate) fn keep(&mut self, answer: &Answer) {
        for cookie in &answer.cookies {
            let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
            match cookie.contains("Max-Age=0") {
                true => self.cookies.remove(name),
                false => self.cookies.insert(name.to_owned(), value.to_owned()),
            };
        }
    }

    /// Who the server takes it for.
    pub(crate) async fn user(&mut self, server: &Server) -> Option<String> {
        let answer = self.send(server, Request::get(SESSION)).await;
        assert_eq!((answer.status, answer.header("cache-control")), (200, "no-store"));
        answer.json()["user"]["id"].as_str().map(str::to_owned)
    }
}

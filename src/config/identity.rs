//! Identity providers: where they are, what this server is to them, and which of their claims mean what here.

use super::Secret;
use super::public_url::is_loopback;
use crate::identity::account::ProviderId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Buttons on one page.
const PROVIDERS_MAX: usize = 16;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdentityConfig {
    /// By the name that is part of their addresses.
    #[serde(default)]
    pub providers: BTreeMap<String, ProviderConfig>,
}

/// A provider of OpenID Connect.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProviderConfig {
    /// What the button says.
    pub name: String,
    /// Exactly as its discovery document and its tokens have it.
    pub issuer: String,
    pub client_id: String,
    /// Absent for a public client, which PKCE alone protects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<Secret>,
    /// Beside `openid`.
    #[serde(default = "default_scopes")]
    pub scopes: Vec<String>,
    /// Authentication context classes of which one is asked for, and must be in the answer. Empty: as the provider likes.
    #[serde(default)]
    pub acr_values: Vec<String>,
    /// Whether to ask the user info endpoint, where there is one, for claims that the ID token does not have.
    #[serde(default = "yes")]
    pub user_info: bool,
    #[serde(default)]
    pub claims: ClaimNames,
    /// Values of the claim `claims.roles` that make somebody an administrator or a coordinator here. Where none are given,
    /// roles are for administrators to give.
    #[serde(default)]
    pub roles: RoleValues,
}

/// Where claims are: names with dots for what lies within (`realm_access.roles`). Lists on the way are walked through.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClaimNames {
    pub name: String,
    pub organisation: String,
    pub roles: String,
    /// Taken where `email_verified` says so.
    pub email: String,
    /// Whether addresses are taken without `email_verified`: for providers that know them to be right and do not say so.
    pub trust_email: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RoleValues {
    pub administrator: Vec<String>,
    pub coordinator: Vec<String>,
}

impl Default for ClaimNames {
    fn default() -> Self {
        Self {
            name: "name".into(),
            organisation: "organisation".into(),
            roles: "roles".into(),
            email: "email".into(),
            trust_email: false,
        }
    }
}

fn default_scopes() -> Vec<String> {
    ["profile", "email"].map(str::to_owned).into()
}

fn yes() -> bool {
    true
}

impl IdentityConfig {
    /// Key and reason of everything that is wrong.
    pub(super) fn violations(&self, has_public_url: bool) -> Vec<(String, &'static str)> {
        let mut violations = Vec::new();
        if !self.providers.is_empty() && !has_public_url {
            violations
                .push(("http.public_url".into(), "must be set, because identity providers send browsers back to it"));
        }
        if self.providers.len() > PROVIDERS_MAX {
            violations.push(("identity.providers".into(), "may hold 16 providers at most"));
        }
        for (id, provider) in &self.providers {
            let mut check = |holds: bool, field: &str, reason: &'static str| {
                if !holds {
                    violations.push((format!("identity.providers.{id}{field}"), reason));
                }
            };
            check(
                ProviderId::new(id).is_some(),
                "",
                "must be named with 1 to 32 lower-case letters, digits and hyphens",
            );
            check(!provider.name.trim().is_empty(), ".name", "must not be empty");
            check(!provider.client_id.is_empty(), ".client_id", "must not be empty");
            check(
                is_issuer(&provider.issuer),
                ".issuer",
                "must be an https URL without query; http only for this host",
            );
            let secret = provider.client_secret.as_ref();
            check(secret.is_none_or(|secret| !secret.expose().is_empty()), ".client_secret", "must not be empty");
        }
        violations
    }
}

fn is_issuer(text: &str) -> bool {
    reqwest::Url::parse(text).is_ok_and(|url| {
        let is_private = url.scheme() == "https" || (url.scheme() == "http" && is_loopback(&url));
        is_private && url.query().is_none() && url.fragment().is_none()
    })
}

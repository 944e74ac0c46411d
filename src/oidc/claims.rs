//! What a provider says about somebody, in our words. Providers differ in where they put what: the configuration names the
//! claims, and nothing that is not named is looked at.

use super::Reason;
use crate::config::{ClaimNames, RoleValues};
use crate::identity::SiteRole;
use crate::identity::account::ProviderSubject;
use crate::identity::session::ProviderSession;
use crate::meetings::invitation::Email;
use crate::text::Name;
use serde_json::{Map, Value};

/// Values of one claim that are looked at: groups of one person.
const VALUES_MAX: usize = 1_000;
/// Levels of one path.
const DEPTH_MAX: usize = 8;

/// Somebody, as their provider knows them.
#[derive(Clone, PartialEq, Debug)]
pub struct Person {
    pub subject: ProviderSubject,
    pub name: Name,
    pub email: Option<Email>,
    pub organisation: Option<Name>,
    /// `None` where the provider is not asked for roles.
    pub role: Option<SiteRole>,
    /// The provider's name for its session.
    pub session: Option<ProviderSession>,
}

impl Person {
    pub(super) fn read(claims: &Map<String, Value>, names: &ClaimNames, roles: &RoleValues) -> Result<Self, Reason> {
        let first = |path: &str| values(claims, path).into_iter().find(|text| !text.trim().is_empty());
        let subject = claims.get("sub").and_then(Value::as_str).and_then(ProviderSubject::new);
        // Characters that hide or turn others are refused, not taken out: the name would then be another's.
        let name = first(&names.name).and_then(|name| Name::new(name).ok()).ok_or(Reason::Name)?;
        let is_known = names.trust_email || claims.get("email_verified").is_some_and(is_true);
        Ok(Self {
            subject: subject.ok_or(Reason::Subject)?,
            name,
            email: first(&names.email).filter(|_| is_known).and_then(Email::new),
            organisation: first(&names.organisation).and_then(|name| Name::new(name).ok()),
            role: role(&values(claims, &names.roles), roles),
            session: claims.get("sid").and_then(Value::as_str).and_then(ProviderSession::new),
        })
    }
}

/// The mightiest role that a value gives; no value, no might.
fn role(values: &[&str], roles: &RoleValues) -> Option<SiteRole> {
    if roles.administrator.is_empty() && roles.coordinator.is_empty() {
        return None;
    }
    let has_one_of = |wanted: &[String]| values.iter().any(|value| wanted.iter().any(|wanted| wanted == value));
    Some(match (has_one_of(&roles.administrator), has_one_of(&roles.coordinator)) {
        (true, _) => SiteRole::Administrator,
        (false, true) => SiteRole::Coordinator,
        (false, false) => SiteRole::Member,
    })
}

/// Some providers write it as a text.
fn is_true(value: &Value) -> bool {
    value == &Value::Bool(true) || value == "true"
}

/// The texts at a path. A claim whose own name has dots (a URL) comes before a path with the same spelling.
fn values<'a>(claims: &'a Map<String, Value>, path: &str) -> Vec<&'a str> {
    let mut found = Vec::new();
    match claims.get(path) {
        Some(value) => collect(value, &[], &mut found),
        None => {
            let levels: Vec<&str> = path.split('.').take(DEPTH_MAX).collect();
            if let Some((first, rest)) = levels.split_first()
                && let Some(value) = claims.get(*first)
            {
                collect(value, rest, &mut found);
            }
        }
    }
    found
}

fn collect<'a>(value: &'a Value, rest: &[&str], found: &mut Vec<&'a str>) {
    if found.len() >= VALUES_MAX {
        return;
    }
    match (value, rest.split_first()) {
        (Value::Array(items), _) => items.iter().take(VALUES_MAX).for_each(|item| collect(item, rest, found)),
        (Value::Object(fields), Some((first, rest))) => {
            if let Some(value) = fields.get(*first) {
                collect(value, rest, found);
            }
        }
        (Value::String(text), None) => found.push(text),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(claims: &Value, names: &ClaimNames, roles: &RoleValues) -> Result<Person, Reason> {
        Person::read(claims.as_object().unwrap(), names, roles)
    }

    #[test]
    fn claims_are_found_where_each_kind_of_provider_puts_them() {
        let keycloak = ClaimNames { roles: "realm_access.roles".into(), ..ClaimNames::default() };
        let roles = RoleValues { administrator: vec!["it".into()], coordinator: vec!["mdt".into(), "R8000".into()] };
        let claims = json!({"sub": "1", "name": "Dr One", "realm_access": {"roles": ["x", "mdt"]}, "sid": "s"});
        let person = read(&claims, &keycloak, &roles).unwrap();
        assert_eq!((person.role, person.name.as_str()), (Some(SiteRole::Coordinator), "Dr One"));
        assert!(person.session.is_some());

        let cis2 = ClaimNames {
            organisation: "nhsid_nrbac_roles.org_name".into(),
            roles: "nhsid_nrbac_roles.role_code".into(),
            ..ClaimNames::default()
        };
        let claims = json!({"sub": "1", "name": "Dr One", "nhsid_nrbac_roles": [
            {"org_name": "St Elsewhere", "role_code": "S8000"}, {"role_code": "R8000"}]});
        let person = read(&claims, &cis2, &roles).unwrap();
        assert_eq!(person.organisation.as_ref().map(Name::as_str), Some("St Elsewhere"));
        assert_eq!(person.role, Some(SiteRole::Coordinator));

        let url = ClaimNames { roles: "https://x.test/roles".into(), ..ClaimNames::default() };
        let claims = json!({"sub": "1", "name": "Dr One", "https://x.test/roles": "it"});
        assert_eq!(read(&claims, &url, &roles).unwrap().role, Some(SiteRole::Administrator));
        assert_eq!(read(&claims, &keycloak, &roles).unwrap().role, Some(SiteRole::Member), "nobody rises by default");
        assert_eq!(read(&claims, &keycloak, &RoleValues::default()).unwrap().role, None);
    }

    #[test]
    fn an_address_counts_where_the_provider_answers_for_it() {
        let (names, roles) = (ClaimNames::default(), RoleValues::default());
        let trusting = ClaimNames { trust_email: true, ..ClaimNames::default() };
        let mut claims = json!({"sub": "1", "name": "Dr One", "email": "one@nhs.net"});
        assert_eq!(read(&claims, &names, &roles).unwrap().email, None);
        assert!(read(&claims, &trusting, &roles).unwrap().email.is_some());
        for (verified, counts) in [(json!(true), true), (json!("true"), true), (json!(false), false), (json!(1), false)]
        {
            claims["email_verified"] = verified;
            assert_eq!(read(&claims, &names, &roles).unwrap().email.is_some(), counts, "{claims}");
        }
    }

    #[test]
    fn who_has_no_name_or_one_that_deceives_is_not_let_in() {
        let (names, roles) = (ClaimNames::default(), RoleValues::default());
        for name in [json!(null), json!(""), json!("Dr \u{202e}enO"), json!("a\u{200b}"), json!({"x": "y"}), json!(7)] {
            assert_eq!(read(&json!({"sub": "1", "name": name}), &names, &roles), Err(Reason::Name), "{name}");
        }
        for sub in [json!(null), json!(""), json!("ü"), json!("x".repeat(256))] {
            assert_eq!(read(&json!({"sub": sub, "name": "Dr One"}), &names, &roles), Err(Reason::Subject), "{sub}");
        }
    }
}

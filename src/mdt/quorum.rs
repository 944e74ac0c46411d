//! Which of the specialties that a meeting requires are represented. Chairs, core and extended members represent theirs;
//! coordinators prepare, and observers and guests look on.

use crate::meetings::invitation::Role;
use crate::text::Name;
use serde::Serialize;
use std::collections::HashSet;

#[derive(Clone, PartialEq, Eq, Debug, Serialize, utoipa::ToSchema)]
pub struct Quorum {
    pub required: Vec<Name>,
    /// Of the required ones, those that nobody present represents.
    pub missing: Vec<Name>,
}

impl Quorum {
    /// `present` are the role and the specialty of each who is there.
    pub fn of<'a>(required: &[Name], present: impl IntoIterator<Item = (Role, Option<&'a Name>)>) -> Self {
        let counted = present.into_iter().filter(|(role, _)| counts(*role));
        let represented: HashSet<String> = counted.filter_map(|(_, specialty)| specialty.map(Name::folded)).collect();
        let missing = required.iter().filter(|name| !represented.contains(&name.folded()));
        Self { required: required.to_vec(), missing: missing.cloned().collect() }
    }

    /// Where nothing is required, it always is.
    pub fn is_reached(&self) -> bool {
        self.missing.is_empty()
    }
}

const fn counts(role: Role) -> bool {
    matches!(role, Role::Chair | Role::Core | Role::Extended)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    #[test]
    fn members_represent_their_specialty_and_those_who_look_on_do_not() {
        let (oncology, radiology) = (name("Oncology"), name("radiology"));
        let required = [oncology.clone(), name("Radiology")];
        for role in Role::ALL {
            let quorum = Quorum::of(&required, [(role, Some(&oncology)), (Role::Core, Some(&radiology))]);
            let expected = matches!(role, Role::Chair | Role::Core | Role::Extended);
            assert_eq!(quorum.is_reached(), expected, "{role:?}");
            assert_eq!(quorum.missing.len(), usize::from(!expected));
        }
        let quorum = Quorum::of(&required, [(Role::Chair, None)]);
        assert_eq!(quorum.missing, required);
        assert!(Quorum::of(&[], []).is_reached());
    }
}

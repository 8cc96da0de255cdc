//! `Approvals` says who must approve a change, by `[[approver]]` and `[[approval]]` of `bus.toml` in the
//! registry that is changed, not in the new one. Signatures are left out: the command line verifies them.

use std::fmt;

use crate::change::Change;

/// A person who may approve changes of the registry.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Approver {
    /// The person's name, which is also the name in the key.
    pub id: String,
    /// The key, as C2SP's signed notes write it: `NAME+HASH+BASE64`.
    pub key: String,
    /// The person's roles: `steward of MEMBER`, or any word, e.g. `security`.
    pub roles: Vec<String>,
}

/// One `[[approval]]` rule: changes in these tables need these roles.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Rule {
    /// Names of tables, e.g. `grant`; `*` stands for every table.
    pub(crate) of: Vec<String>,
    /// Roles. `steward` stands for the steward of the member in whose file the change is.
    pub(crate) needs: Vec<String>,
}

/// The people and the rules of a registry.
#[derive(Clone, Debug, Default)]
pub struct Approvals {
    pub(crate) approvers: Vec<Approver>,
    pub(crate) rules: Vec<Rule>,
}

/// Roles that must all approve a change. Each role needs another person, and the author counts for none.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Need {
    /// The roles.
    pub roles: Vec<String>,
    /// The changes that need these roles, e.g. `grant welfare-getperson`.
    pub because: Vec<String>,
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let because = match self.because.as_slice() {
            [first, _, _, _, ..] => format!("{first} and {} more", self.because.len() - 1),
            few => few.join(", "),
        };
        write!(f, "{}, for {because}", self.roles.join(" AND "))
    }
}

impl Approvals {
    /// The people who may approve changes.
    pub fn approvers(&self) -> &[Approver] {
        &self.approvers
    }

    /// The approvals that these changes need. Changes that need the same roles share one `Need`.
    pub(crate) fn needs(&self, changes: &[Change]) -> Vec<Need> {
        let mut needs: Vec<Need> = Vec::new();
        for change in changes {
            let rules =
                self.rules.iter().filter(|rule| rule.of.iter().any(|of| of == "*" || *of == change.kind));
            for rule in rules {
                // The steward is the one of the member whose file changes, so one rule serves all members.
                let role = |role: &String| match role.as_str() {
                    "steward" => format!("steward of {}", change.owner),
                    _ => role.clone(),
                };
                let roles: Vec<String> = rule.needs.iter().map(role).collect();
                let because = format!("{} {}", change.kind, change.id);
                match needs.iter_mut().find(|need| need.roles == roles) {
                    Some(need) => need.because.push(because),
                    None => needs.push(Need { roles, because: vec![because] }),
                }
            }
        }
        needs
    }

    /// The needs that the approvals of these people do not meet. The author's own approval does not count.
    pub fn unmet<'n>(&self, needs: &'n [Need], author: &str, approved: &[String]) -> Vec<&'n Need> {
        // Names are enough here, because the command line has verified the signature of each.
        let people: Vec<&Approver> =
            self.approvers.iter().filter(|one| one.id != author && approved.contains(&one.id)).collect();
        needs.iter().filter(|need| !met(&need.roles, &people)).collect()
    }
}

/// Whether every role can be filled by a different person. Every assignment is tried, because a person with
/// two roles may be needed for either. A rule names few roles, so the factorial cost does not matter.
fn met(roles: &[String], people: &[&Approver]) -> bool {
    let Some((role, others)) = roles.split_first() else { return true };
    people.iter().enumerate().any(|(index, person)| {
        let mut left = people.to_vec();
        left.remove(index);
        person.roles.contains(role) && met(others, &left)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::Verb;

    fn approvals() -> Approvals {
        let approver = |id: &str, roles: &[&str]| Approver {
            id: id.to_owned(),
            key: String::new(),
            roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        };
        let rule = |of: &str, needs: &[&str]| Rule {
            of: vec![of.to_owned()],
            needs: needs.iter().map(|role| (*role).to_owned()).collect(),
        };
        Approvals {
            approvers: vec![
                approver("ali", &["steward of gov/desk", "security"]),
                approver("bahar", &["security"]),
                approver("cyrus", &["steward of gov/welfare"]),
            ],
            rules: vec![rule("grant", &["steward", "security"]), rule("*", &["security"])],
        }
    }

    fn unmet(author: &str, approved: &[&str]) -> usize {
        let change = Change {
            verb: Verb::Added,
            kind: "grant".into(),
            id: "g".into(),
            owner: "gov/desk".into(),
            details: vec![],
        };
        let approvals = approvals();
        let needs = approvals.needs(&[change]);
        assert_eq!(needs[0].to_string(), "steward of gov/desk AND security, for grant g");
        let approved: Vec<String> = approved.iter().map(|id| (*id).to_owned()).collect();
        approvals.unmet(&needs, author, &approved).len()
    }

    #[test]
    fn every_role_is_another_person_and_never_the_author() {
        assert_eq!(unmet("dara", &["ali", "bahar"]), 0);
        assert_eq!(unmet("dara", &["bahar", "ali"]), 0);
        assert_eq!(unmet("dara", &["ali"]), 1, "one person is not two");
        assert_eq!(unmet("dara", &["bahar", "cyrus"]), 1, "another member's steward is not the provider's");
        assert_eq!(unmet("ali", &["ali", "bahar"]), 1, "the author's own approval counts for nothing");
        assert_eq!(unmet("dara", &[]), 2);
        assert_eq!(unmet("dara", &["nobody"]), 2);
    }
}

//! This module resolves short names of methods and services: `GetPerson` stands for
//! `civil.v1.CivilRegistry/GetPerson` where only one method has that name.

/// The full name that `typed` stands for.
///
/// A full name stands for itself. Otherwise `typed` must be a tail of exactly one of `known`, cut at a `.` or
/// `/`; the separators may be mixed up (`CivilRegistry.GetPerson`).
///
/// # Errors
/// A sentence with the candidates, or with what comes near.
pub(super) fn resolve<'a>(typed: &str, known: &'a [String]) -> Result<&'a str, String> {
    if let Some(exact) = known.iter().find(|name| plain(name) == plain(typed)) {
        return Ok(exact);
    }
    // The tail is cut at a separator, so that `Person` does not stand for `GetPerson`.
    let tail = format!(".{}", plain(typed));
    let found: Vec<&str> =
        known.iter().map(String::as_str).filter(|name| plain(name).ends_with(&tail)).collect();
    match found.as_slice() {
        [one] => Ok(one),
        [] => Err(match nearest(typed, known) {
            Some(near) => format!("nothing here is called `{typed}`; did you mean `{near}`?"),
            None => format!("nothing here is called `{typed}`"),
        }),
        several => Err(format!("`{typed}` could be any of: {}", several.join(", "))),
    }
}

fn plain(name: &str) -> String {
    name.trim_start_matches('/').replace('/', ".")
}

/// The known name whose last part is nearest to the last part of `typed`, if any comes near.
fn nearest<'a>(typed: &str, known: &'a [String]) -> Option<&'a str> {
    let last = |name: &str| plain(name).rsplit('.').next().unwrap_or_default().to_lowercase();
    let typed = last(typed);
    let close = |name: &&String| distance(&last(name), &typed);
    // A third of the letters may differ; a name farther away would mislead.
    known.iter().min_by_key(close).filter(|name| close(name) <= typed.len() / 3 + 1).map(String::as_str)
}

/// Levenshtein's distance in bytes; names are ASCII.
fn distance(a: &str, b: &str) -> usize {
    // One row of the distance matrix is enough, because each row depends only on the one before.
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.bytes().enumerate() {
        let mut corner = i;
        let mut left = i + 1;
        let mut next = vec![left];
        for (to, above) in b.bytes().zip(row.iter().skip(1)) {
            left = (corner + usize::from(from != to)).min(left + 1).min(above + 1);
            corner = *above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

/// Whether a method, by its full name, is one of the gateway's own services, which need no grant.
pub(super) fn is_own(method: &str) -> bool {
    let method = method.trim_start_matches('/');
    let own = ["chapar.admin.v1.", "chapar.inquiry.v1.", "chapar.meta.v1.", "grpc."];
    own.iter().any(|own| method.starts_with(own))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Vec<String> {
        [
            "civil.v1.CivilRegistry/GetPerson",
            "civil.v1.CivilRegistry/ListChildren",
            "old.v1.CivilRegistry/ListChildren",
        ]
        .map(str::to_owned)
        .to_vec()
    }

    #[test]
    fn a_method_may_be_shortened_while_only_one_is_meant() {
        let known = known();
        for typed in [
            "GetPerson",
            "CivilRegistry/GetPerson",
            "CivilRegistry.GetPerson",
            "/civil.v1.CivilRegistry/GetPerson",
        ] {
            assert_eq!(resolve(typed, &known), Ok("civil.v1.CivilRegistry/GetPerson"), "{typed}");
        }
        assert_eq!(
            resolve("old.v1.CivilRegistry/ListChildren", &known),
            Ok("old.v1.CivilRegistry/ListChildren")
        );
    }

    #[test]
    fn a_name_that_could_be_several_or_none_is_answered_with_what_there_is() {
        let known = known();
        let several = resolve("ListChildren", &known).unwrap_err();
        assert!(several.contains("civil.v1.") && several.contains("old.v1."), "{several}");
        assert!(
            resolve("GetPersn", &known)
                .unwrap_err()
                .contains("did you mean `civil.v1.CivilRegistry/GetPerson`")
        );
        assert!(!resolve("Erase", &known).unwrap_err().contains("mean"));
        assert!(resolve("Person", &known).is_err(), "a tail is cut at a separator");
    }

    #[test]
    fn the_distance_is_levenshteins() {
        assert_eq!(
            [distance("kitten", "sitting"), distance("", "abc"), distance("abc", ""), distance("a", "a")],
            [3, 3, 3, 0]
        );
    }
}

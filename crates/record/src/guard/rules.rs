//! The decision whether a record opens, free of IO.

use contracts::{Institutions, PersonCard};
use kernel::{Reach, RegionCode};

/// What is known of a viewer and a person when the record is asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Standing {
    /// The viewer's own institution has registered the person or recorded anything about them.
    pub care: bool,
    /// The person lies within the reach of the viewer's right.
    pub within: bool,
    /// A purpose that still holds was given.
    pub purposeful: bool,
    /// The glass was broken and has not closed again.
    pub glass: bool,
    /// A restriction holds against institutions that do not care for the person.
    pub closed_to_others: bool,
    /// A restriction holds against everybody.
    pub closed_to_all: bool,
}

/// How a person's record stands to a viewer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// Looks like not found.
    Hidden,
    /// Something must be said or done first.
    Barred(Barrier),
    /// Open; protected content only as the roles allow.
    Open,
    /// Open with everything, because the glass was broken.
    Broken,
}

/// What stands in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Barrier {
    /// The viewer must first say why.
    Purpose,
    /// A seal or refusal; only broken glass opens it.
    Restricted,
}

/// The decision.
pub fn door(standing: Standing) -> Door {
    if !standing.care && !standing.within {
        return Door::Hidden;
    }
    if standing.glass {
        return Door::Broken;
    }
    if standing.closed_to_all || (standing.closed_to_others && !standing.care) {
        return Door::Barred(Barrier::Restricted);
    }
    if standing.care || standing.purposeful { Door::Open } else { Door::Barred(Barrier::Purpose) }
}

/// Whether the caller's own institution has registered the person or recorded anything about them. Facts hang on the
/// institution's identity record, so one look at those is enough. It counts for whoever reaches that institution, not
/// for whoever reaches only their own patients there.
pub fn in_care(reach: &Reach, card: &PersonCard, institutions: &dyn Institutions) -> bool {
    let Some(own) = reach.caller().institution else { return false };
    card.identities.iter().any(|i| i.institution == own)
        && institutions.by_id(own).is_some_and(|card| reach.covers(card.id, &card.region))
}

/// Whether a person lies within a reach: by the division of the address; where that is unknown, by the institutions
/// that have registered the person.
pub fn within(reach: &Reach, card: &PersonCard, institutions: &dyn Institutions) -> bool {
    if card.region != RegionCode::NATION {
        return reach.covers_region(&card.region);
    }
    card.identities.iter().any(|identity| {
        institutions.by_id(identity.institution).is_some_and(|i| reach.covers(i.id, &i.region))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_opens_a_record() {
        let s = |words: &str| Standing {
            care: words.contains("care"),
            within: words.contains("within"),
            purposeful: words.contains("purpose"),
            glass: words.contains("glass"),
            closed_to_others: words.contains("others"),
            closed_to_all: words.contains("all"),
        };
        for (words, expected) in [
            ("", Door::Hidden),
            ("purpose", Door::Hidden),
            ("glass", Door::Hidden),
            ("all", Door::Hidden),
            ("care", Door::Open),
            ("within", Door::Barred(Barrier::Purpose)),
            ("within purpose", Door::Open),
            ("within purpose others", Door::Barred(Barrier::Restricted)),
            ("within others", Door::Barred(Barrier::Restricted)),
            ("care others", Door::Open),
            ("care all", Door::Barred(Barrier::Restricted)),
            ("care within purpose all", Door::Barred(Barrier::Restricted)),
            ("care all glass", Door::Broken),
            ("within others glass", Door::Broken),
            ("care glass", Door::Broken),
        ] {
            assert_eq!(door(s(words)), expected, "{words}");
        }
    }
}

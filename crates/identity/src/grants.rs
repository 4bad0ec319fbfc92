//! From a role template and its holder's institution and division to rights; and who may assign which role.

use catalog::{Role, RoleSpan};
use kernel::access::InstitutionId;
use kernel::{Act, Grant, Line, RegionCode, Span, Tier};

/// The rights of somebody who holds `role` at `institution` in `region`.
///
/// A right over the holder's own institution gives nothing to a holder without one.
pub fn of_role(role: &Role, institution: Option<InstitutionId>, region: &RegionCode) -> Vec<Grant> {
    role.grants
        .iter()
        .filter_map(|right| {
            let span = match right.span {
                RoleSpan::Institution => Span::Institution(institution?),
                RoleSpan::Region => Span::Region(*region),
                RoleSpan::City => Span::Region(region.at(Tier::City)),
            };
            Some(Grant { line: right.line, act: right.act, span })
        })
        .collect()
}

/// The rights of an institution's machine client: its own uploads, and nothing else.
pub fn of_client(institution: InstitutionId) -> Vec<Grant> {
    [Act::Read, Act::Write]
        .into_iter()
        .map(|act| Grant { line: Line::Exchange, act, span: Span::Institution(institution) })
        .collect()
}

/// The rights of a hospital workstation that embeds the record: reading in the city of its institution.
pub fn of_embedded(region: &RegionCode) -> Vec<Grant> {
    vec![Grant { line: Line::Medical, act: Act::Read, span: Span::Region(region.at(Tier::City)) }]
}

/// Whether a holder of `own` rights may give somebody the rights `given`.
///
/// Rights of a post (seeing patients, uploading) may be given by whoever manages accounts. Rights *over others* —
/// administration, managing anything, reading the audit trail — only by those who manage that line themselves at least
/// as far: so nobody rises above their own level, and an administrator makes no auditors.
pub fn may_assign(
    own: &[Grant],
    given: &[Grant],
    institution_region: impl Fn(InstitutionId) -> RegionCode,
) -> bool {
    let covers = |held: Span, span: Span| match (held, span) {
        (Span::Region(wide), Span::Region(narrow)) => wide.contains(&narrow),
        (Span::Region(wide), Span::Institution(id)) => wide.contains(&institution_region(id)),
        (Span::Institution(held), Span::Institution(id)) => held == id,
        // A team's people and one's own patients are held by nobody but the holder.
        (Span::Team(held), Span::Team(given)) => held == given,
        _ => false,
    };
    given
        .iter()
        .filter(|right| {
            right.act == Act::Manage
                || matches!(right.line, Line::Administration | Line::System | Line::Security | Line::Audit)
        })
        .all(|right| {
            own.iter().any(|held| {
                held.line == right.line && held.act == Act::Manage && covers(held.span, right.span)
            })
        })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use catalog::RoleGrant;
    use kernel::Id;

    fn role(grants: &[(Line, Act, RoleSpan)]) -> Role {
        Role {
            code: "r".into(),
            name: "R".into(),
            description: String::new(),
            grants: grants
                .iter()
                .map(|(line, act, span)| RoleGrant { line: *line, act: *act, span: *span })
                .collect(),
        }
    }
    fn region(code: &str) -> RegionCode {
        RegionCode::parse(code).unwrap()
    }

    #[test]
    fn spans_are_resolved_against_the_holder() {
        let all = role(&[
            (Line::Exchange, Act::Write, RoleSpan::Institution),
            (Line::Administration, Act::Read, RoleSpan::Region),
            (Line::Medical, Act::Read, RoleSpan::City),
        ]);
        let grants = of_role(&all, Some(Id::new(7)), &region("411503001"));
        let spans: Vec<Span> = grants.iter().map(|g| g.span).collect();
        assert_eq!(
            spans,
            [Span::Institution(Id::new(7)), Span::Region(region("411503001")), Span::Region(region("4115"))]
        );
        assert_eq!(of_role(&all, None, &region("4115")).len(), 2, "nothing of no institution");
    }

    #[test]
    fn a_client_reaches_its_own_institution_only() {
        let grants = of_client(Id::new(3));
        assert!(grants.iter().all(|g| g.span == Span::Institution(Id::new(3)) && g.line == Line::Exchange));
        assert_eq!(grants.len(), 2);
    }

    #[test]
    fn nobody_rises_above_their_own_level() {
        let county = region("411503");
        let manager = role(&[
            (Line::Administration, Act::Manage, RoleSpan::Region),
            (Line::Administration, Act::Read, RoleSpan::Region),
        ]);
        let own = of_role(&manager, None, &county);
        type Rights<'a> = &'a [(Line, Act, RoleSpan)];
        let cases: [(Rights, &str, bool); 8] = [
            (&[(Line::Medical, Act::Read, RoleSpan::City)], "411503", true),
            (&[(Line::Exchange, Act::Write, RoleSpan::Institution)], "411503", true),
            (&[(Line::Administration, Act::Manage, RoleSpan::Region)], "411503", true),
            (&[(Line::Administration, Act::Manage, RoleSpan::City)], "411503", false),
            (&[(Line::Administration, Act::Manage, RoleSpan::Region)], "411502", false),
            (&[(Line::Administration, Act::Export, RoleSpan::City)], "411503", false),
            (&[(Line::Security, Act::Read, RoleSpan::Region)], "411503", false),
            (&[(Line::Administration, Act::Manage, RoleSpan::Institution)], "411503", true),
        ];
        for (rights, at, expected) in cases {
            let given = of_role(&role(rights), Some(Id::new(1)), &region(at));
            assert_eq!(may_assign(&own, &given, |_| county), expected, "{rights:?} at {at}");
        }
    }
}

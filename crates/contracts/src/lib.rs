//! What contexts may know of each other: small ports, implemented by one context and wired in `app`.
//!
//! A port that writes takes the caller's open transaction, so that what two contexts do together is atomic.

mod identifiers;
mod matching;
mod stays;
mod stored_codes;
mod terminology;

use std::collections::HashMap;
use std::sync::Arc;

use catalog::{Dataset, Value};
use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use futures::future::BoxFuture;
use kernel::access::InstitutionId;
use kernel::{RegionCode, Result};
use store::{Gated, Tx};

pub use identifiers::{CITIZEN_SYSTEM, LOCAL_NO_SYSTEM, institution_of_system, local_no_system};
pub use matching::{Match, PersonMatcher};
pub use stays::{Stay, Stays};
pub use stored_codes::{
    STORED_CODES, StoredChange, StoredCode, StoredCodes, StoredCodesAsked, StoredEnd, StoredPlace, StoredRun,
    StoredStep,
};
pub use terminology::{CodeCounts, CodeDay, KeptCode, LocalSeen, Terminology};

/// An institution as other contexts know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstitutionCard {
    /// Identifier.
    pub id: InstitutionId,
    /// Upload code (unified social credit code).
    pub code: String,
    /// Full name.
    pub name: String,
    /// Short name for lists.
    pub short_name: String,
    /// `hospital`, `township`, `village`, `maternal_child`, `cdc`.
    pub sender_class: String,
    /// Division.
    pub region: RegionCode,
    /// Whether it is part of a demonstration city.
    pub invented: bool,
}

/// Read port of `directory`: institutions, served from memory.
pub trait Institutions: Send + Sync + 'static {
    /// By identifier.
    fn by_id(&self, id: InstitutionId) -> Option<Arc<InstitutionCard>>;
    /// By upload code or any other identifier.
    fn by_code(&self, code: &str) -> Option<Arc<InstitutionCard>>;
    /// All of them, ordered by division then name.
    fn all(&self) -> Arc<Vec<Arc<InstitutionCard>>>;
    /// The name of a division, e.g. `信阳市平桥区`; the code itself where it is unknown.
    fn region_name(&self, code: &RegionCode) -> String;
    /// The name that a division had in the edition of a year.
    fn region_name_in(&self, code: &RegionCode, _year: i16) -> String {
        self.region_name(code)
    }
    /// Where an institution lay in the divisions of a year, so that a table of that year stays as it was.
    fn region_in(&self, card: &InstitutionCard, _year: i16) -> RegionCode {
        card.region
    }
    /// The year of the edition of divisions that was in force on a day; `None` where editions are not kept.
    fn division_year(&self, _day: NaiveDate) -> Option<i16> {
        None
    }
    /// The years of which there are editions of divisions, newest first.
    fn division_years(&self) -> Vec<i16> {
        Vec::new()
    }
    /// Creates or updates an institution; its identifier.
    fn register<'a>(&'a self, card: NewInstitution) -> BoxFuture<'a, Result<InstitutionId>>;
}

/// What is needed to register an institution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewInstitution {
    /// Upload code.
    pub code: String,
    /// Full name.
    pub name: String,
    /// WS 218 class.
    pub class: String,
    /// What it is expected to send.
    pub sender_class: String,
    /// Division.
    pub region: RegionCode,
    /// Whether it is part of a demonstration city.
    pub invented: bool,
}

/// What a row says about whose it is. Empty text and `None` mean that it does not say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Demographics {
    /// The institution's own number of the patient.
    pub local_no: String,
    /// Name.
    pub name: String,
    /// Sex code (GB/T 2261.1).
    pub sex: String,
    /// Date of birth.
    pub birth_date: Option<NaiveDate>,
    /// Kind of credential.
    pub credential_kind: String,
    /// Its number.
    pub credential_no: String,
    /// Card number.
    pub card_no: String,
    /// Telephone.
    pub phone: String,
    /// Address.
    pub address: String,
    /// 12-digit division code, or empty.
    pub region: String,
    /// ABO blood group.
    pub blood_abo: String,
    /// Rh blood group.
    pub blood_rh: String,
    /// Ethnicity code (GB 3304).
    pub ethnicity: String,
    /// Name of the contact person.
    pub contact_name: String,
    /// What the contact is to the patient (GB/T 4761).
    pub contact_relation: String,
    /// Telephone of the contact.
    pub contact_phone: String,
    /// Date of death, where the row tells of it.
    pub died_on: Option<NaiveDate>,
    /// Whether this is a registration proper, whose values outrank those named beside other facts.
    pub registration: bool,
    /// Whether the row was withdrawn: what it said of the patient is no longer said.
    pub withdrawn: bool,
}

/// Port of `person`: finds or makes the identity record of each row and links it to a person.
///
/// How it decides: docs/adr/0017-on-line-linking.md.
pub trait Linker: Send + Sync + 'static {
    /// For each of `rows` (all of one institution, in any order, local numbers may repeat) the identity record's
    /// identifier; 0 for a withdrawn row of a patient who is not known. Safe to repeat; two calls at once for the same
    /// new patient give one person.
    fn link<'a, 'c>(
        &'a self,
        tx: &'a mut Tx<'c>,
        institution: InstitutionId,
        rows: &'a [Demographics],
        batch: i64,
        now: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<Vec<i64>>>
    where
        'c: 'a;
}

/// A fact as it was stored, for the index of the record.
#[derive(Debug, Clone, Copy)]
pub struct StoredFact<'a> {
    /// Identifier of the fact.
    pub fact_id: i64,
    /// Whose it is.
    pub identity_id: i64,
    /// When it happened.
    pub occurred_at: NaiveDateTime,
    /// Values in the order of the data set's fields.
    pub values: &'a [Value],
}

/// A fact that was replaced or withdrawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndedFact {
    /// Identifier of the fact.
    pub fact_id: i64,
    /// Whose it was before.
    pub identity_id: i64,
    /// When it happened, as the earlier version said.
    pub occurred_at: NaiveDateTime,
}

/// Port of `record`: keeps the index entries of facts in step with the facts.
pub trait RecordIndex: Send + Sync + 'static {
    /// Removes the entries of `ended` and writes those of `stored`, in the same transaction as the facts.
    fn index<'a, 'c>(
        &'a self,
        tx: &'a mut Tx<'c>,
        dataset: &'a Dataset,
        institution: InstitutionId,
        stored: &'a [StoredFact<'a>],
        ended: &'a [EndedFact],
    ) -> BoxFuture<'a, Result<()>>
    where
        'c: 'a;
}

/// An institution's identity record, as a link of a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityRef {
    /// The identity record; facts point to it.
    pub identity_id: i64,
    /// Whose registration it is.
    pub institution: InstitutionId,
    /// That institution's own number of the patient.
    pub local_no: String,
}

/// A person as the banner of every page about them shows it: the best known demographics and the identity records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonCard {
    /// The person.
    pub person_id: i64,
    /// Name; empty where no institution gave one.
    pub name: String,
    /// Sex code (GB/T 2261.1).
    pub sex: String,
    /// Date of birth.
    pub birth_date: Option<NaiveDate>,
    /// 18-digit citizen number, unmasked: mask it on screens.
    pub citizen_id: Option<String>,
    /// Telephone, unmasked.
    pub phone: String,
    /// Address.
    pub address: String,
    /// Division of the address; the nation where it is unknown.
    pub region: RegionCode,
    /// ABO blood group code, or empty.
    pub blood_abo: String,
    /// Rh blood group code, or empty.
    pub blood_rh: String,
    /// Date of death, if known.
    pub died_on: Option<NaiveDate>,
    /// The identity records linked to the person, oldest first; never empty.
    pub identities: Vec<IdentityRef>,
}

/// Read port of `person`: what the record browser needs to know of a person, in one query.
pub trait PersonCards: Send + Sync + 'static {
    /// The card of a person; `None` when there is no such person or no identity record is linked to it any more.
    fn card<'a, 'c>(
        &'a self,
        tx: &'a mut Gated<'c>,
        person_id: i64,
    ) -> BoxFuture<'a, Result<Option<PersonCard>>>
    where
        'c: 'a;

    /// The cards of these people, in no order, in one query.
    fn cards<'a, 'c>(
        &'a self,
        tx: &'a mut Gated<'c>,
        persons: &'a [i64],
    ) -> BoxFuture<'a, Result<Vec<PersonCard>>>
    where
        'c: 'a;

    /// The cards of the people to whom these identity records belong now, each once, in one query.
    fn cards_of<'a, 'c>(
        &'a self,
        tx: &'a mut Gated<'c>,
        identities: &'a [i64],
    ) -> BoxFuture<'a, Result<Vec<PersonCard>>>
    where
        'c: 'a;

    /// People within a reach by a text as the search box takes it: a number, or a name with a date of birth after
    /// it. Empty when the text is too vague to be searched for.
    fn find<'a, 'c>(
        &'a self,
        tx: &'a mut Gated<'c>,
        reach: &'a kernel::Reach,
        institutions: &'a dyn Institutions,
        text: &'a str,
        limit: i64,
    ) -> BoxFuture<'a, Result<Vec<i64>>>
    where
        'c: 'a;
}

/// Why somebody cares for a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CareKind {
    /// A visit, stay or follow-up that names them; holds for a time after the last one.
    Visit,
    /// A contract (签约) with a team or doctor.
    Contract,
    /// A referral to them.
    Referral,
    /// An exception that somebody approved, or an emergency opening.
    Exception,
}

impl CareKind {
    /// The code in the database.
    pub const fn code(self) -> &'static str {
        match self {
            CareKind::Visit => "visit",
            CareKind::Contract => "contract",
            CareKind::Referral => "referral",
            CareKind::Exception => "exception",
        }
    }
    /// The Chinese name.
    pub const fn name(self) -> &'static str {
        match self {
            CareKind::Visit => "就诊",
            CareKind::Contract => "签约",
            CareKind::Referral => "转诊",
            CareKind::Exception => "例外授权",
        }
    }
}

/// Who cares for a person from when to when, as it is written down. It hangs on the identity record, as facts do, so
/// that it follows when people are merged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCareRelation {
    /// Whose.
    pub identity_id: i64,
    /// The institution that cares.
    pub institution: InstitutionId,
    /// The number by which it knows its member of staff (工号); empty: the institution as a whole.
    pub staff_no: String,
    /// The team, for contracts of a team.
    pub team: Option<kernel::TeamId>,
    /// Why.
    pub kind: CareKind,
    /// The first day; an earlier one that is known is kept.
    pub since: NaiveDate,
    /// The last day; for visits the day of the newest, otherwise `None` while it has no end.
    pub until: Option<NaiveDate>,
}

/// A care relation of a person, for the page that lists who cares for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CareRelation {
    /// The institution.
    pub institution: InstitutionId,
    /// The number of the member of staff; empty: the institution as a whole.
    pub staff_no: String,
    /// The team.
    pub team: Option<kernel::TeamId>,
    /// Code of [`CareKind`].
    pub kind: String,
    /// First day.
    pub since: NaiveDate,
    /// Last day, or the day of the newest visit.
    pub until: Option<NaiveDate>,
}

/// Port of `person`: care relations (照护关系), the ground of the spans *team* and *own patients*.
pub trait CareRelations: Send + Sync + 'static {
    /// Whether the reach of the transaction comes to this person by a care relation that holds on this day, or by
    /// naming the person.
    fn reaches<'a, 'c>(
        &'a self,
        tx: &'a mut Gated<'c>,
        person_id: i64,
        today: NaiveDate,
    ) -> BoxFuture<'a, Result<bool>>
    where
        'c: 'a;

    /// Who cares for a person, newest first.
    fn of_person<'a, 'c>(
        &'a self,
        tx: &'a mut Gated<'c>,
        person_id: i64,
    ) -> BoxFuture<'a, Result<Vec<CareRelation>>>
    where
        'c: 'a;

    /// Writes relations down, set-based; one that is known grows to the earlier first and later last day.
    fn note<'a, 'c>(
        &'a self,
        tx: &'a mut Tx<'c>,
        relations: &'a [NewCareRelation],
    ) -> BoxFuture<'a, Result<()>>
    where
        'c: 'a;

    /// Ends relations of a kind on a day: a contract that ended, a referral that was answered. How many.
    fn end<'a, 'c>(
        &'a self,
        tx: &'a mut Tx<'c>,
        identity_id: i64,
        institution: InstitutionId,
        kind: CareKind,
        last: NaiveDate,
    ) -> BoxFuture<'a, Result<u64>>
    where
        'c: 'a;
}

/// Read port of `person` for signed links that embed the record: from the number that a hospital knows to the
/// person's identifier. Finds only what is filed; the caller of the port audits what is then opened.
pub trait PersonLookup: Send + Sync + 'static {
    /// By the institution's own number of the patient.
    fn by_local_no<'a>(
        &'a self,
        institution: InstitutionId,
        local_no: &'a str,
    ) -> BoxFuture<'a, Result<Option<i64>>>;
    /// By citizen number (GB 11643, 18 characters).
    fn by_citizen_id<'a>(&'a self, citizen_id: &'a str) -> BoxFuture<'a, Result<Option<i64>>>;
    /// Who these people are and where they live; who is not known is left out. Whoever implements no exceptions knows nobody.
    fn whereabouts<'a>(&'a self, _people: &'a [i64]) -> BoxFuture<'a, Result<HashMap<i64, Whereabouts>>> {
        Box::pin(async { Ok(HashMap::new()) })
    }
}

/// No care relations at all: for tests of contexts and for programs without a master index. Exceptions that name a
/// person still hold.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoCareRelations;

impl CareRelations for NoCareRelations {
    fn reaches<'a, 'c>(
        &'a self,
        tx: &'a mut Gated<'c>,
        person_id: i64,
        _: NaiveDate,
    ) -> BoxFuture<'a, Result<bool>>
    where
        'c: 'a,
    {
        Box::pin(async move { Ok(tx.reach().covers_person(person_id)) })
    }
    fn of_person<'a, 'c>(&'a self, _: &'a mut Gated<'c>, _: i64) -> BoxFuture<'a, Result<Vec<CareRelation>>>
    where
        'c: 'a,
    {
        Box::pin(async { Ok(Vec::new()) })
    }
    fn note<'a, 'c>(&'a self, _: &'a mut Tx<'c>, _: &'a [NewCareRelation]) -> BoxFuture<'a, Result<()>>
    where
        'c: 'a,
    {
        Box::pin(async { Ok(()) })
    }
    fn end<'a, 'c>(
        &'a self,
        _: &'a mut Tx<'c>,
        _: i64,
        _: InstitutionId,
        _: CareKind,
        _: NaiveDate,
    ) -> BoxFuture<'a, Result<u64>>
    where
        'c: 'a,
    {
        Box::pin(async { Ok(0) })
    }
}

/// Who somebody is and where they live, for whoever decides about an exception.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whereabouts {
    /// Name.
    pub name: String,
    /// Division of the address; the nation where it is unknown.
    pub region: RegionCode,
    /// Institutions that have registered them.
    pub institutions: Vec<InstitutionId>,
}

/// One line on the desk: what waits, how much of it, and where it is dealt with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeskLine {
    /// What it is, e.g. `昨日未上传的数据集`.
    pub text: String,
    /// How much; shown at the end of the line.
    pub figure: String,
    /// The page where it is dealt with; empty for none.
    pub link: String,
    /// Whether it needs attention now.
    pub urgent: bool,
}

/// A panel on the desk of somebody who signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeskCard {
    /// Its title.
    pub title: String,
    /// Its lines, most urgent first.
    pub lines: Vec<DeskLine>,
}

/// Port of every context that has something waiting for somebody; wired in `app`.
pub trait DeskPanel: Send + Sync + 'static {
    /// The panel for this caller; `None` when it is not theirs to see.
    fn card<'a>(&'a self, caller: &'a kernel::Caller) -> BoxFuture<'a, Result<Option<DeskCard>>>;
}

/// Event of `person`: an identity record now belongs to another person. Facts did not move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct PersonLinked {
    /// The identity record; also the subject of the event.
    pub identity_id: i64,
    /// Whose it was.
    pub from_person: i64,
    /// Whose it is now.
    pub to_person: i64,
}

impl PersonLinked {
    /// The topic in the outbox.
    pub const TOPIC: &str = "person.linked";
}

/// A registered member of staff as other contexts know them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaffCard {
    /// Identifier.
    pub id: kernel::StaffId,
    /// Real name.
    pub name: String,
    /// The number that the main institution gives them (工号).
    pub staff_no: String,
    /// Main place of work.
    pub institution: InstitutionId,
    /// Department there, by name; empty where none.
    pub department: String,
    /// Professional title (专业技术职务), by name; empty where none.
    pub title: String,
    /// Further institutions where they practise (多点执业).
    pub practises_at: Vec<InstitutionId>,
    /// Whether they are in post; who has left keeps their card.
    pub in_post: bool,
}

/// What is needed to register a member of staff; everything else is filled in on the registry's own pages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewStaff {
    /// Real name.
    pub name: String,
    /// The number that the institution gives them.
    pub staff_no: String,
    /// Main place of work.
    pub institution: InstitutionId,
    /// Department, by name; empty for none.
    pub department: String,
    /// Professional title, by name; empty for none.
    pub title: String,
}

/// Port of `directory`: the register of staff. Accounts belong to registered staff.
pub trait StaffRegister: Send + Sync + 'static {
    /// By identifier.
    fn by_id<'a>(&'a self, id: kernel::StaffId) -> BoxFuture<'a, Result<Option<StaffCard>>>;
    /// By the number that an institution gives.
    fn by_number<'a>(
        &'a self,
        institution: InstitutionId,
        staff_no: &'a str,
    ) -> BoxFuture<'a, Result<Option<StaffCard>>>;
    /// By a part of the name, its pinyin initials or the number, within one institution or (`None`) all.
    fn find<'a>(
        &'a self,
        institution: Option<InstitutionId>,
        text: &'a str,
        limit: i64,
    ) -> BoxFuture<'a, Result<Vec<StaffCard>>>;
    /// Registers somebody in the caller's transaction, or gives the identifier of who has this number there already.
    fn register<'a, 'c>(
        &'a self,
        tx: &'a mut Tx<'c>,
        staff: &'a NewStaff,
        now: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<kernel::StaffId>>
    where
        'c: 'a;
}

/// Event of `directory`: a member of staff changed place of work or left. Accounts follow.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct StaffMoved {
    /// Who; also the subject of the event.
    pub staff_id: i64,
    /// Where they worked.
    pub from_institution: i64,
    /// Where they work now; `None`: they left.
    pub to_institution: Option<i64>,
}

impl StaffMoved {
    /// The topic in the outbox.
    pub const TOPIC: &str = "staff.moved";
}

/// Event of `directory`: an institution was opened, changed, merged into another or closed.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct InstitutionChanged {
    /// Which; also the subject of the event.
    pub institution_id: i64,
    /// `opened`, `changed`, `renamed`, `merged`, `closed`, `reopened`.
    pub change: String,
    /// The institution that carries on, for `merged`.
    pub into: Option<i64>,
}

impl InstitutionChanged {
    /// The topic in the outbox.
    pub const TOPIC: &str = "institution.changed";
}

/// Event of `directory`: what lay in some divisions lies in others from now on (rename keeps the code and is not told).
/// Each context moves what it keeps by division, notes which rows it moved, and answers with [`DivisionsFollowed`].
///
/// No code is both a source and a target of one event, so a context may move in chunks, in any order, and repeat.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct DivisionsMoved {
    /// The operation; also the subject of the event.
    pub operation_id: i64,
    /// The first year in which the new divisions hold.
    pub year: i16,
    /// Pairs of 12-digit codes: from, to. Codes below a moved one move with it and are listed as well. When undoing:
    /// what is still in codes that vanish, after the rows that were noted have been put back.
    pub moves: Vec<(String, String)>,
    /// Whether the operation is undone: rows noted under it go back to where they were, the rest follows `moves`.
    #[serde(default)]
    pub undo: bool,
    /// Of a division that was split and has nothing below it: whose address contains the words lies in the other
    /// part. The first rule that fits holds; without one, `moves`.
    #[serde(default)]
    pub addresses: Vec<AddressRule>,
    /// The division that was split, if one was.
    #[serde(default)]
    pub divided: Option<String>,
    /// Institutions in it that were assigned one by one; what follows its institution (accounts) goes with it.
    #[serde(default)]
    pub institutions: Vec<(i64, String)>,
}

/// Who of a division that is split lies in which part, told by the address.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct AddressRule {
    /// The division that is split.
    pub from: String,
    /// Words of the address, e.g. `三组`.
    pub contains: String,
    /// The part.
    pub to: String,
}

impl DivisionsMoved {
    /// The topic in the outbox.
    pub const TOPIC: &str = "divisions.moved";
}

/// Whom a notice is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoticeTo {
    /// One account.
    Account(kernel::AccountId),
    /// Everybody who holds this right over this division when they look.
    Holders(kernel::Need, RegionCode),
    /// Everybody who holds this right at this institution when they look, e.g. its engineers.
    Unit(kernel::Need, kernel::access::InstitutionId),
}

/// Something that somebody should know at once: a line in the notice list that leads to its page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// What happened, one line in Chinese, without personal data.
    pub title: String,
    /// Where it is dealt with.
    pub link: String,
    /// Whether it should not wait.
    pub urgent: bool,
}

/// Port of `identity`: the notices of the top bar.
pub trait Notices: Send + Sync + 'static {
    /// Sends a notice in the caller's transaction.
    fn send<'a, 'c>(
        &'a self,
        tx: &'a mut Tx<'c>,
        to: NoticeTo,
        notice: &'a Notice,
        now: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<()>>
    where
        'c: 'a;
}

/// Event of a context that keeps something by division: it has followed [`DivisionsMoved`].
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct DivisionsFollowed {
    /// The operation; also the subject of the event.
    pub operation_id: i64,
    /// Which part of the platform: [`DivisionHoldings::part`].
    pub part: String,
    /// Whether it was the undo.
    pub undo: bool,
    /// Rows that were moved.
    pub moved: i64,
}

impl DivisionsFollowed {
    /// The topic in the outbox.
    pub const TOPIC: &str = "divisions.followed";
}

/// Read port of every context that keeps something by division; wired in `app`. Each of them subscribes to
/// [`DivisionsMoved`] and answers with [`DivisionsFollowed`].
pub trait DivisionHoldings: Send + Sync + 'static {
    /// Stable word, e.g. `people`.
    fn part(&self) -> &'static str;
    /// Chinese name with its counting word, e.g. `居民（人）`.
    fn title(&self) -> &'static str;
    /// How many rows lie in each of these codes exactly (not below), codes without rows left out.
    fn count<'a>(&'a self, codes: &'a [String]) -> BoxFuture<'a, Result<Vec<(String, i64)>>>;
    /// The same of every code there is.
    fn count_all<'a>(&'a self) -> BoxFuture<'a, Result<Vec<(String, i64)>>>;
    /// The page with the rows of a division and below, when there is one.
    fn rows_of(&self, code: &RegionCode) -> Option<String>;
}

/// What alerts on the audit trail compare of a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonTrait {
    /// The person.
    pub person_id: i64,
    /// Name; empty where unknown.
    pub name: String,
    /// Division of the address; the nation where it is unknown.
    pub region: RegionCode,
    /// The numbers that institutions gave them.
    pub local_nos: Vec<(InstitutionId, String)>,
}

/// Port of `person` for alerts on the audit trail: a few traits of many people at once. Nothing of it is shown.
pub trait PersonTraits: Send + Sync + 'static {
    /// Of those that there are.
    fn traits<'a>(&'a self, people: &'a [i64]) -> BoxFuture<'a, Result<Vec<PersonTrait>>>;
}

/// Port of `directory` for alerts on the audit trail: who works where, by name.
pub trait StaffNames: Send + Sync + 'static {
    /// For each institution and name, whether somebody of that name is in post there.
    fn in_post<'a>(&'a self, pairs: &'a [(InstitutionId, String)]) -> BoxFuture<'a, Result<Vec<bool>>>;
}

/// Somebody who looked at a person's record: all their looks for one purpose on one day, together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordLook {
    /// Real name; of a program, its name.
    pub actor: String,
    /// Role at that time.
    pub role: String,
    /// Unit at that time.
    pub institution_name: String,
    /// `staff`, `client`, `embedded`, `system`.
    pub kind: String,
    /// What they did, as codes: `record.view`, `record.print`, `fhir.everything` …
    pub acts: Vec<String>,
    /// Why, as a code.
    pub purpose: String,
    /// Why, in their words; the longest of the day.
    pub note: String,
    /// First look of the day.
    pub first_at: DateTime<Utc>,
    /// Last look of the day.
    pub last_at: DateTime<Utc>,
    /// How many looks.
    pub times: i64,
    /// The account, for the auditor's page; not for the resident.
    pub account_id: Option<i64>,
}

/// Port of `identity`: who looked at my record (谁看过我的档案), newest first. Looks that an auditor has set aside while
/// something is looked into are left out, and nothing else.
pub trait RecordLooks: Send + Sync + 'static {
    /// Up to `limit`, before an instant where one is given (for the next page).
    fn looks<'a>(
        &'a self,
        person_id: i64,
        before: Option<DateTime<Utc>>,
        limit: i64,
    ) -> BoxFuture<'a, Result<Vec<RecordLook>>>;
}

/// Port of `person`: how many people live where, for rates. Counted at the moment of asking: keep the answer.
pub trait Population: Send + Sync + 'static {
    /// People by county; those whose county is unknown are left out.
    fn by_county<'a>(&'a self) -> BoxFuture<'a, Result<std::collections::HashMap<RegionCode, i64>>>;
}

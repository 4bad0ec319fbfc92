//! Registers (注册库): institutions, staff and what belongs to them, as definitions of `registry/*.toml`.

use crate::model::{Dataset, Sensitivity, TitlePart};

/// One register. Its fields and rules are those of a data set, so that the same checker serves uploads and registers.
#[derive(Debug)]
pub struct Register {
    /// Code, names, fields, key and rules. The key identifies an entry within its owner; `occurred` says nothing here.
    pub dataset: Dataset,
    /// What an entry belongs to.
    pub owner: Owner,
    /// The measure word with which entries are counted, e.g. `台设备`.
    pub unit: String,
    /// Icon of the Tabler set.
    pub icon: String,
    /// What an entry is called in lists.
    pub title: Vec<TitlePart>,
    /// Headings of form and detail with their fields, in order; every field stands in one.
    pub sections: Vec<(String, Vec<usize>)>,
    /// Columns of the list.
    pub list: Vec<usize>,
    /// Code fields to filter the list by.
    pub filters: Vec<usize>,
    /// Code fields to count by.
    pub statistics: Vec<usize>,
    /// Number fields that statistics sum.
    pub measures: Vec<usize>,
    /// The day on which it runs out.
    pub expires: Option<usize>,
    /// Fields whose change the commission decides about, not the unit alone.
    pub commission: Vec<usize>,
    /// Fields that a member of staff may ask to change in the own entry.
    pub own: Vec<usize>,
    /// Fields that identify an institution beside its code.
    pub identifiers: Vec<usize>,
    /// What a field is picked from, by position; `None`: typed, or a code of its table.
    pub picks: Vec<Option<Pick>>,
    /// The word for an entry that is no longer in use, e.g. `注销`.
    pub ended: String,
    /// Where it stands among the registers; lower first.
    pub order: i32,
    /// Whether it has a page in the menu of registers, or only within its owner's page.
    pub listed: bool,
}

impl Register {
    /// Stable code, e.g. `equipment`; also the `kind` of its entries.
    pub fn code(&self) -> &str {
        &self.dataset.code
    }
    /// Where its pages are.
    pub fn path(&self) -> String {
        match self.code() {
            "institution" => "/institutions".to_owned(),
            "staff" => "/staff".to_owned(),
            code => format!("/registry/{code}"),
        }
    }
    /// Whether a field identifies a person and is protected.
    pub fn is_guarded(&self, field: usize) -> bool {
        self.dataset.fields.get(field).is_some_and(|f| f.sensitivity != Sensitivity::Ordinary)
    }
    /// The position of a field by its name.
    pub fn field(&self, name: &str) -> Option<usize> {
        self.dataset.field(name)
    }
}

/// What an entry of a register belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// It is an institution itself.
    Itself,
    /// An institution, told by the field `institution`.
    Institution,
    /// A member of staff, told by the fields `institution` and `staff_no`.
    Staff,
}

/// What a field's value is picked from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pick {
    /// An institution, by its code.
    Institution,
    /// A division, by its 12-digit code.
    Region,
    /// A department of the owning institution, by its name.
    Department,
}

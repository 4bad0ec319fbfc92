//! From headings to fields: field name, Chinese title, data-element identifier or alias, whatever its case or width.

use std::collections::HashMap;

use catalog::Dataset;

/// Every name under which the fields of a data set may be headed.
pub(super) struct Headings {
    names: HashMap<String, usize>,
}

impl Headings {
    pub(super) fn new(dataset: &Dataset) -> Self {
        let mut names = HashMap::new();
        // Earlier kinds of name win: a field's own name is never taken by another's alias.
        for (i, f) in dataset.fields.iter().enumerate() {
            names.entry(plain(&f.name)).or_insert(i);
        }
        for (i, f) in dataset.fields.iter().enumerate() {
            names.entry(plain(&f.title)).or_insert(i);
        }
        for (i, f) in dataset.fields.iter().enumerate() {
            for alias in &f.aliases {
                names.entry(plain(alias)).or_insert(i);
            }
        }
        // One element identifier may stand for several fields (systolic pressure left and right): then it is no name.
        for (i, f) in dataset.fields.iter().enumerate() {
            let shared = dataset.fields.iter().filter(|o| o.element == f.element).count() > 1;
            if !f.element.is_empty() && !shared {
                names.entry(plain(&f.element)).or_insert(i);
            }
        }
        Self { names }
    }

    /// The field that a heading means.
    pub(super) fn field(&self, heading: &str) -> Option<usize> {
        self.names.get(&plain(heading)).copied()
    }
}

/// A heading without what people add or change when they type it: blanks, case, full-width forms.
pub(super) fn plain(heading: &str) -> String {
    heading
        .chars()
        .filter(|c| !c.is_whitespace() && *c != '\u{feff}')
        .map(|c| match c {
            '\u{ff01}'..='\u{ff5e}' => char::from_u32(c as u32 - 0xfee0).unwrap_or(c),
            _ => c,
        })
        .flat_map(char::to_lowercase)
        .collect()
}

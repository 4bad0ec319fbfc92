//! The two files of a benchmark: registrations, and the truth about them.

use std::io::Write;

use demo::random::Random;

use crate::Fault;
use crate::register::Registration;

/// Columns of the registrations. Named as the model's fields are, so that a file can be linked as it is; `guardian` repeats
/// the contact of a child, `truth_person` is the truth and no field of any model.
pub const COLUMNS: &str = "record_id,institution,local_no,name,sex,birth_date,credential_kind,citizen_id,credential_no,card_no,phone,address,region,ethnicity,contact_name,contact_relation,contact_phone,guardian,registered_on,truth_person";

/// Columns of the truth.
pub const TRUTH_COLUMNS: &str = "record_id,person,household,true_name,true_birth_date,errors";

/// Registrations that are held back to be mixed: households must not stand together in the file, nor need a million rows
/// stay in memory.
const HELD: usize = 1 << 16;

/// Writes both files, in mixed order.
#[derive(Debug)]
pub struct Files<W: Write, T: Write> {
    rows: W,
    truth: T,
    held: Vec<(String, String)>,
    dice: Random,
    written: u64,
}

impl<W: Write, T: Write> Files<W, T> {
    /// Begins both files.
    pub fn new(mut rows: W, mut truth: T, seed: u64) -> Result<Self, Fault> {
        writeln!(rows, "{COLUMNS}").and_then(|()| writeln!(truth, "{TRUTH_COLUMNS}"))?;
        Ok(Self { rows, truth, held: Vec::new(), dice: Random::of(seed, &[0x317e]), written: 0 })
    }

    /// Takes a registration with the true name and birth date of its person.
    pub fn add(&mut self, row: &Registration, name: &str, birth: &str) -> Result<(), Fault> {
        let cells = [
            row.institution.as_str(),
            &row.local_no,
            &row.name,
            row.sex,
            &row.birth_date,
            row.credential_kind,
            &row.citizen_id,
            &row.credential_no,
            &row.card_no,
            &row.phone,
            &row.address,
            &row.region,
            row.ethnicity,
            &row.contact_name,
            row.contact_relation,
            &row.contact_phone,
            row.guardian(),
            &row.registered_on,
        ];
        let mut line = String::with_capacity(256);
        for cell in cells {
            line.push(',');
            push(cell, &mut line);
        }
        line.push_str(&format!(",{}\n", row.person));
        let errors: Vec<&str> = row.kinds.iter().map(crate::Kind::code).collect();
        let truth = format!(",{},{},{name},{birth},{}\n", row.person, row.household, errors.join(" "));
        if self.held.len() < HELD {
            self.held.push((line, truth));
            return Ok(());
        }
        let at = self.dice.below(HELD);
        let (line, truth) = std::mem::replace(&mut self.held[at], (line, truth));
        self.put(&line, &truth)
    }

    fn put(&mut self, line: &str, truth: &str) -> Result<(), Fault> {
        self.written += 1;
        write!(self.rows, "{}{line}", self.written)?;
        write!(self.truth, "{}{truth}", self.written)?;
        Ok(())
    }

    /// Writes what is held; how many registrations there are.
    pub fn finish(mut self) -> Result<u64, Fault> {
        while !self.held.is_empty() {
            let at = self.dice.below(self.held.len());
            let (line, truth) = self.held.swap_remove(at);
            self.put(&line, &truth)?;
        }
        self.rows.flush()?;
        self.truth.flush()?;
        Ok(self.written)
    }
}

/// A cell, in quotes where it needs them.
fn push(cell: &str, line: &mut String) {
    if cell.contains([',', '"', '\n']) {
        line.push('"');
        line.push_str(&cell.replace('"', "\"\""));
        line.push('"');
    } else {
        line.push_str(cell);
    }
}

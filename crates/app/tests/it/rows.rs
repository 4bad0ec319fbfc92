//! Files as institutions send them, made by hand.

use std::fmt::Write;

/// A valid citizen number: division, day of birth (yyyymmdd), serial (its parity is the sex).
pub fn citizen_id(region: &str, born: &str, serial: u32) -> String {
    let body = format!("{region}{born}{serial:03}");
    let weights = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
    let sum: u32 = body.bytes().zip(weights).map(|(b, w)| u32::from(b - b'0') * w).sum();
    format!("{body}{}", char::from(b"10X98765432"[(sum % 11) as usize]))
}

/// Citizen number of the `n`th patient: born on 7 March 1960 or some days later, a man when `n` is odd.
pub fn citizen_of(n: u32) -> String {
    citizen_id("411503", &format!("1960{:02}{:02}", n / 2 % 12 + 1, n / 24 % 28 + 1), n / 672 * 2 + n % 2)
}

/// Registrations of patients `range`, with citizen numbers.
pub fn patients(range: std::ops::Range<u32>) -> String {
    let mut csv = String::from(
        "patient_no,patient_name,sex,birth_date,credential_kind,credential_no,phone,address,region,registered_at\n",
    );
    for n in range {
        let id = citizen_of(n);
        let born = format!("{}-{}-{}", &id[6..10], &id[10..12], &id[12..14]);
        let sex = if n % 2 == 1 { 1 } else { 2 };
        writeln!(
            csv,
            "P{n:05},{},{sex},{born},01,{id},139{n:08},河南省信阳市平桥区明港镇,411503102,2025-05-10 08:30:00",
            name(n)
        )
        .unwrap();
    }
    csv
}

/// Headings of [`visits`].
pub const VISIT_HEADINGS: &str = "visit_no,patient_no,patient_name,visit_kind,visit_time,department_name,doctor_name,\
    chief_complaint,diagnosis_code,diagnosis_name,total_fee,insurance_fee,personal_fee";

/// Outpatient visits `range`, each of one of `patients` patients, with a fee that tells versions apart.
pub fn visits(range: std::ops::Range<u32>, patients: u32, fee: u32) -> String {
    let mut csv = format!("{VISIT_HEADINGS}\n");
    for n in range {
        writeln!(csv, "{}", visit(n, n % patients, fee)).unwrap();
    }
    csv
}

/// One visit as a line of CSV.
pub fn visit(n: u32, patient: u32, fee: u32) -> String {
    format!(
        "V{n:07},P{patient:05},{},1,2025-05-{:02} {:02}:{:02}:00,全科门诊,李医师{},头晕{}天,I10.x00,特发性(原发性)高血压,{fee}.00,0.00,{fee}.00",
        name(patient),
        n % 13 + 1,
        8 + n % 9,
        n % 60,
        n % 7,
        n % 5 + 1,
    )
}

/// An invented name.
pub fn name(n: u32) -> String {
    let surnames = ["王", "李", "张", "刘", "陈", "杨", "赵", "黄", "周", "吴"];
    let given = char::from_u32(0x4e00 + n * 7919 % 6000).unwrap();
    format!("{}{given}", surnames[(n % 10) as usize])
}

/// The same bytes, compressed.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

/// The same text in GB18030.
pub fn gb18030(text: &str) -> Vec<u8> {
    encoding_rs::GB18030.encode(text).0.into_owned()
}

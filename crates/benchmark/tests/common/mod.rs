//! A small city for the tests of this crate.

use demo::Division;
use kernel::RegionCode;

/// A city of three counties with four townships of five villages each; the names are invented.
pub fn divisions() -> Vec<Division> {
    let mut list = vec![(("41").to_owned(), "河南省".to_owned()), ("4199".to_owned(), "演示市".to_owned())];
    let towns = ["青山镇", "白河镇", "双桥乡", "城关街道办事处"];
    let villages = ["王庄", "李楼", "大塘", "新集", "石门"];
    for county in 1..=3 {
        list.push((format!("41990{county}"), format!("演示{}县", ["东", "西", "南"][county - 1])));
        for (t, town) in towns.iter().enumerate() {
            list.push((format!("41990{county}{:03}", 100 + t), (*town).to_owned()));
            for (v, village) in villages.iter().enumerate() {
                list.push((format!("41990{county}{:03}{:03}", 100 + t, 200 + v), format!("{village}村委会")));
            }
        }
    }
    list.into_iter().map(|(code, name)| Division { code: RegionCode::parse(&code).unwrap(), name }).collect()
}

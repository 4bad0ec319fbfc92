//! Tables of cases for the comparators.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use crate::kind::Kind;
use crate::value::{Hasher, prepare};

/// The name of the outcome of two values; `missing` when they cannot be compared.
fn named(kind: Kind, a: &str, b: &str) -> &'static str {
    let hasher = Hasher::default();
    let (Some(x), Some(y)) = (prepare(kind, a, &hasher), prepare(kind, b, &hasher)) else { return "missing" };
    let found = if x.hash == y.hash { x.equal_outcome() } else { super::outcome(kind, &x, &y) };
    let back = if x.hash == y.hash { y.equal_outcome() } else { super::outcome(kind, &y, &x) };
    assert_eq!(found, back, "{kind:?} {a} {b}: not symmetric");
    found.map_or("missing", |o| kind.outcomes()[usize::from(o)])
}

#[test]
fn chinese_names() {
    for (a, b, expected) in [
        ("张伟", "张伟", "exact"),
        ("张伟", "张 伟", "variant"),
        ("張偉", "张伟", "variant"),
        ("劉淑蘭", "刘淑兰", "variant"),
        ("买买提·吐尔逊", "买买提吐尔逊", "variant"),
        ("买买提·吐尔逊", "买买提 吐尔逊", "variant"),
        ("买买提•吐尔逊", "买买提．吐尔逊", "variant"),
        ("张伟", "章玮", "homophone"),
        ("张行", "张航", "homophone"),
        ("张伟", "zhang wei", "homophone"),
        ("张伟", "ZHANGWEI", "homophone"),
        ("张玮", "张wei", "homophone"),
        ("单田芳", "shan tianfang", "homophone"),
        ("王末", "王未", "shape"),
        ("陈杨", "陈扬", "homophone"),
        ("李珍", "李诊", "homophone"),
        ("赵晖", "赵挥", "homophone"),
        ("林凤", "林风", "homophone"),
        ("张良", "张莨", "homophone"),
        ("刘海", "刘梅", "shape"),
        ("王宁", "王林", "accent"),
        ("陈思", "程诗", "accent"),
        ("张晓明", "张小明", "homophone"),
        ("张建国", "张建军", "kin"),
        ("张小明", "张明", "near"),
        ("张明华", "张华明", "near"),
        ("王喆", "王？", "near"),
        ("王*明", "王晓明", "near"),
        ("小明", "张明", "nickname"),
        ("阿芳", "李秀芳", "nickname"),
        ("明明", "张小明", "nickname"),
        ("建国", "张建国", "part"),
        ("买买提", "买买提·吐尔逊", "part"),
        ("买买提·吐尔逊", "买买提·吐逊", "near"),
        ("阿依古丽·买买提", "阿依古丽·买卖提", "homophone"),
        ("李淑芬", "王淑芬", "given"),
        ("张伟", "张丽", "surname"),
        ("张伟", "李伟", "different"),
        ("欧阳娜", "欧阳丽", "kin"),
        ("欧阳丹丹", "欧阳晓梅", "surname"),
        ("张丽之子", "张浩然", "missing"),
        ("张丽之子", "张丽之女", "different"),
        ("张丽之大女", "王浩然", "kin"),
        ("张丽之大女", "张丽之小女", "different"),
        ("张丽之子", "张丽 之子", "missing"),
        ("无名氏", "张伟", "missing"),
        ("John Smith", "SMITH, JOHN", "variant"),
        ("John Smith", "Jonh Smith", "near"),
        ("John Albert Smith", "Smith John", "part"),
        ("John Smith", "Mary Smith", "surname"),
        ("John Smith", "张伟", "different"),
        ("张伟（小）", "张伟", "variant"),
    ] {
        assert_eq!(named(Kind::ChineseName, a, b), expected, "{a} {b}");
    }
}

#[test]
fn citizen_numbers() {
    for (a, b, expected) in [
        ("11010519491231002X", "11010519491231002x", "exact"),
        ("110105491231002", "11010519491231002X", "exact"),
        ("11010519491231002X", "110105194912310021", "digit"),
        ("11010519491231002X", "11010519491321002X", "digit"),
        ("11010519491231002X", "1101051949123102X", "digit"),
        ("110105194912310021", "110105194912310021", "same_invalid"),
        ("11010519491231002X", "440524188001010014", "two_valid"),
        ("11010519491231002X", "110105199912810021", "different"),
        ("110105491231002", "110105491291002", "digit"),
        ("111111111111111111", "11010519491231002X", "missing"),
        ("11010519491231002X", "14010519491231002X", "digit"),
    ] {
        assert_eq!(named(Kind::CitizenId, a, b), expected, "{a} {b}");
    }
}

#[test]
fn addresses() {
    for (a, b, expected) in [
        ("河南省兰考县东坝头镇张庄村3组15号", "河南省兰考县东坝头镇张庄村3组15号", "exact"),
        ("河南省兰考县东坝头镇张庄村三组十五号", "河南省兰考县东坝头镇张庄村3组15号", "exact"),
        ("河南省兰考县东坝头镇张庄村3组15号", "东坝头镇张庄村3组15号", "near"),
        ("和平路12号阳光小区3栋2单元501室", "和平路12号阳光小区3幢2单元501", "near"),
        ("和平路12号阳光小区3栋2单元501室", "阳光小区3-2-501", "close"),
        ("东坝头镇张庄村3组15号", "东坝头镇张庄村", "close"),
        ("东坝头镇张庄村3组15号", "东坝头镇张庄村3组18号", "loose"),
        ("东坝头镇张庄村3组15号", "中山路88号", "different"),
    ] {
        assert_eq!(named(Kind::ChineseAddress, a, b), expected, "{a} {b}");
    }
}

#[test]
fn other_kinds() {
    for (kind, a, b, expected) in [
        (Kind::Phone, "13812345678", "+86 138-1234-5678", "exact"),
        (Kind::Phone, "13812345678", "13812345687", "digit"),
        (Kind::Phone, "0371-65551234", "65551234", "tail"),
        (Kind::Phone, "13812345678", "15987654321", "different"),
        (Kind::Phone, "无", "15987654321", "missing"),
        (Kind::Region, "410225", "410225101204", "county"),
        (Kind::Region, "410225101203", "410225101204", "township"),
        (Kind::Region, "410225101000", "410225101204", "township"),
        (Kind::Region, "410225101203", "410203001004", "prefecture"),
        (Kind::Region, "410225101203", "530102001004", "different"),
        (Kind::Name, "Robert", "ROBERT", "exact"),
        (Kind::Name, "Rob", "Robert", "loose"),
        (Kind::Name, "Müller", "Muller", "exact"),
        (Kind::Name, "Meier", "Meyer", "near"),
        (Kind::Name, "Catherine", "Kathryn", "close"),
        (Kind::Name, "Robert", "Alice", "different"),
        (Kind::Words, "12 High Street", "High Street 12", "near"),
        (Kind::Words, "giblin street", "giblin stret", "near"),
        (Kind::Words, "giblin street", "tullaroop crescent", "different"),
        (Kind::Number, "12", "13", "digit"),
        (Kind::Number, "1949", "1950", "near"),
        (Kind::Number, "1949", "1975", "different"),
        (Kind::Number, "51490", "51488", "near"),
        (Kind::Number, "12", "480", "different"),
        (Kind::Identifier, "6988048", "6988084", "digit"),
        (Kind::Identifier, "6988048", "1234567", "different"),
        (Kind::Email, "a.smith@x.org", "a.smith@y.com", "local"),
        (Kind::Email, "asmith1@x.org", "asmith@x.org", "near"),
        (Kind::Email, "tom@x.org", "mary@x.org", "domain"),
        (Kind::Postcode, "4011", "4010", "digit"),
        (Kind::Postcode, "SW1A 1AA", "SW1A 2BC", "area"),
        (Kind::Postcode, "4011", "2776", "different"),
        (Kind::Category, "男", "女", "different"),
    ] {
        assert_eq!(named(kind, a, b), expected, "{kind:?} {a} {b}");
    }
}

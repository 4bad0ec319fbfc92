//! Names: Han names by decade, clans of a village, names of minorities and of foreigners. Written from general knowledge.
//!
//! The demonstration city draws given names from some thirty characters a decade; a benchmark needs the long tail too, or
//! namesakes would be five times as frequent as in the country. Surnames and the characters in fashion are the city's.

use demo::names::{Names, fashionable};
use demo::random::Random;

/// Characters of men's given names beyond fashion.
const MEN: &str = "安邦宝斌炳博才昌超朝成承诚程崇川传春聪达大代道德登迪栋东铎恩发凡方飞丰峰锋福富刚钢高歌耕庚功冠光广贵国海汉翰豪浩和恒衡宏洪鸿厚虎华怀焕辉会惠吉纪继佳家嘉坚建健江将杰捷金津锦进晋京景敬靖炯九久举钧军君均俊骏凯康珂科克坤宽魁来兰乐雷磊理力立利良亮林霖麟灵龙隆鲁禄伦茂孟民敏名明鸣铭墨牧楠宁培沛朋鹏平普齐奇琦启谦乾强勤青清庆全泉群然仁荣容瑞润若森山善尚少绍胜晟盛诗石时世书树双水顺硕思松涛天田铁廷通同彤万旺威为维伟卫文武喜贤先显祥向晓孝新鑫信兴雄修旭选学雪勋亚延岩彦阳洋尧耀业一依毅义亦易益逸意银寅英永勇友有佑瑜宇雨玉育煜元原远岳云运泽增展占章长哲臻振震正政之志治智中忠舟洲柱卓子宗祖佐";

/// Characters of women's given names beyond fashion.
const WOMEN: &str = "爱安白百蓓碧璧冰采彩婵娥恩芳芬凤芙馥歌格桂国果海涵寒荷红虹华怀欢焕慧惠蕙佳家嘉洁婕瑾锦晶菁婧静菊娟君俊卡凯可珂岚兰澜乐磊蕾丽俐莉立连莲良林玲琳凌灵龄露璐鹭洛满曼茂玫梅美萌梦密苗妙敏明铭茗娜楠妮宁暖佩萍苹平琪绮琦倩巧茜沁琴青清晴庆秋蓉荣榕融柔茹蕊瑞若珊姗善尚少诗书淑舒姝双爽水顺丝思素彤婉宛薇维苇文雯汶霞贤仙贤香湘祥向晓笑孝欣心馨新鑫杏秀旭轩萱璇雪雅亚妍燕艳雁瑶怡宜仪依一艺忆亦逸银茵英瑛莹滢影颖映永咏优悠友幼玉育钰裕瑜媛圆苑月悦岳云芸韵泽昭珍真贞芝知枝之智竹子紫姿卓";

/// Characters that input methods or character sets lack, with what is written instead.
pub(crate) const RARE: &[(char, char)] = &[
    ('堃', '坤'),
    ('喆', '哲'),
    ('犇', '奔'),
    ('淼', '水'),
    ('赟', '斌'),
    ('玥', '月'),
    ('翀', '冲'),
    ('垚', '尧'),
    ('㛃', '洁'),
    ('翊', '翌'),
    ('昇', '升'),
    ('旻', '昊'),
    ('彧', '或'),
    ('祎', '伟'),
    ('燚', '炎'),
    ('䶮', '龚'),
    ('仝', '同'),
    ('禤', '宣'),
    ('珺', '君'),
    ('钘', '刑'),
    ('烜', '宣'),
    ('𬭎', '宏'),
    ('𣲗', '韦'),
    ('𬱖', '颀'),
];

/// What villages call the generations of a clan.
const GENERATIONS: &str = "德光绍祖世泽家声传国正天开兴永昌福寿康宁忠孝本仁义礼智信学文明立业";

const UYGHUR_MEN: &[&str] = &[
    "买买提",
    "艾山",
    "吐尔逊",
    "玉素甫",
    "艾力",
    "库尔班",
    "依明",
    "肉孜",
    "阿迪力",
    "卡德尔",
    "努尔",
    "亚森",
    "热合曼",
    "阿卜杜拉",
    "艾合买提",
    "吾买尔",
    "阿不都热依木",
    "艾尔肯",
    "买合木提",
    "阿布力孜",
    "塔依尔",
    "伊力哈木",
    "木沙",
    "司马义",
    "托合提",
    "沙吾提",
    "阿里木",
    "帕尔哈提",
    "图尔迪",
    "尼亚孜",
];
const UYGHUR_WOMEN: &[&str] = &[
    "古丽",
    "阿依古丽",
    "帕提古丽",
    "热依拉",
    "祖丽胡玛尔",
    "米热班",
    "阿孜古丽",
    "茹仙古丽",
    "海日古丽",
    "阿米娜",
    "帕提曼",
    "热孜万",
    "迪丽努尔",
    "吐尔逊古丽",
    "阿瓦古丽",
    "再努尔",
    "美丽开木",
    "玛依拉",
    "古丽娜尔",
    "布海力且",
];
/// Syllables of dotted names that are written in more than one way.
pub(crate) const TRANSLITERATIONS: &[(&str, &str)] = &[
    ("买买提", "麦麦提"),
    ("阿卜杜", "阿不都"),
    ("阿不都", "阿布都"),
    ("艾合买提", "艾海买提"),
    ("吐尔逊", "吐逊"),
    ("玉素甫", "玉苏普"),
    ("依明", "伊敏"),
    ("热合曼", "热赫曼"),
    ("古丽", "古力"),
    ("卡德尔", "卡迪尔"),
    ("帕提曼", "帕提玛"),
    ("吾买尔", "乌买尔"),
    ("阿里木", "阿力木"),
    ("艾尔肯", "艾力肯"),
    ("司马义", "斯马依"),
    ("亚森", "牙森"),
    ("肉孜", "如则"),
    ("买合木提", "麦合木提"),
    ("努尔", "奴尔"),
    ("阿米娜", "阿米乃"),
];
const TIBETAN: &[&str] = &[
    "扎西", "次仁", "卓玛", "拉姆", "达娃", "尼玛", "旺堆", "平措", "央金", "德吉", "格桑", "曲珍", "普布",
    "多吉", "边巴", "洛桑", "丹增", "白玛", "仁青", "索朗", "巴桑", "米玛", "旦增", "益西",
];
const MONGOLIAN: &[&str] = &[
    "巴特尔",
    "乌云其其格",
    "其其格",
    "苏日娜",
    "那仁",
    "格日勒图",
    "敖登",
    "宝音",
    "朝鲁",
    "斯琴",
    "乌兰",
    "阿古拉",
    "娜仁高娃",
    "萨日娜",
    "布和",
    "青格勒",
    "孟根",
    "图雅",
    "哈斯",
    "额尔敦",
    "乌日娜",
    "牧仁",
    "呼和",
    "塔娜",
];
const FAMILY_LATIN: &[&str] = &[
    "SMITH", "JOHNSON", "NGUYEN", "TRAN", "KIM", "LEE", "PARK", "TANAKA", "SUZUKI", "IVANOV", "PETROV",
    "MULLER", "GARCIA", "SILVA", "KHAN", "AHMED", "SINGH", "KUMAR", "OKAFOR", "MENSAH", "DUBOIS", "ROSSI",
    "WILSON", "BROWN",
];
const GIVEN_LATIN_MEN: &[&str] = &[
    "JOHN",
    "DAVID",
    "MICHAEL",
    "VAN ANH",
    "MINH",
    "JIHOON",
    "HIROSHI",
    "ALEXEY",
    "IVAN",
    "HANS",
    "CARLOS",
    "PAULO",
    "IMRAN",
    "RAVI",
    "EMEKA",
    "KWAME",
    "PIERRE",
    "MARCO",
    "JAMES ROBERT",
    "THOMAS",
];
const GIVEN_LATIN_WOMEN: &[&str] = &[
    "MARY",
    "ANNA",
    "LINH",
    "THI HOA",
    "MINJI",
    "YUKI",
    "OLGA",
    "NATALIA",
    "PETRA",
    "MARIA",
    "ANA PAULA",
    "FATIMA",
    "PRIYA",
    "ADA",
    "AMA",
    "CLAIRE",
    "GIULIA",
    "SARAH JANE",
    "EMILY",
    "HANNAH",
];

/// Which sort of name somebody has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Family name and given name of Chinese characters: the Han and most minorities.
    Han,
    /// Given name and father's given name, with a dot.
    Dotted,
    /// One long name.
    Long,
    /// Latin letters.
    Foreign,
}

/// The tables, ready.
#[derive(Debug)]
pub struct Given {
    surnames: Names,
    men: Vec<char>,
    women: Vec<char>,
    generations: Vec<char>,
}

impl Default for Given {
    fn default() -> Self {
        Self::new()
    }
}

impl Given {
    /// The tables.
    #[must_use]
    pub fn new() -> Self {
        Self {
            surnames: Names::new(),
            men: MEN.chars().collect(),
            women: WOMEN.chars().collect(),
            generations: GENERATIONS.chars().collect(),
        }
    }

    /// The city's tables, which lay out institutions too.
    #[must_use]
    pub fn city(&self) -> &Names {
        &self.surnames
    }

    /// A surname by frequency.
    pub fn surname(&self, dice: &mut Random) -> &'static str {
        self.surnames.surname(dice)
    }

    /// A character for a given name: six in ten are in fashion, the first of the fashion most.
    fn character(&self, woman: bool, year: i32, dice: &mut Random) -> char {
        let pool = if woman { &self.women } else { &self.men };
        if dice.chance(0.6) {
            let fashion = fashionable(woman, year);
            let count = fashion.chars().count();
            let at = dice.below(count).min(dice.below(count));
            if let Some(character) = fashion.chars().nth(at) {
                return character;
            }
        }
        *dice.pick(pool)
    }

    /// A Han given name; `clan` is the village whose generations its older men are named by.
    pub fn given(&self, woman: bool, year: i32, clan: Option<u64>, dice: &mut Random) -> String {
        let mut given = String::with_capacity(6);
        let single = (1965..2005).contains(&year) && dice.chance(0.22);
        let generation =
            clan.filter(|_| !woman && year < 1985 && !single && dice.chance(0.35)).map(|village| {
                self.generations[((village + year as u64 / 22) as usize) % self.generations.len()]
            });
        given.push(generation.unwrap_or_else(|| self.character(woman, year, dice)));
        if !single {
            given.push(self.character(woman, year, dice));
        }
        given
    }

    /// A rare character in place of the last one.
    pub fn with_rare(&self, name: &str, dice: &mut Random) -> String {
        let mut characters: Vec<char> = name.chars().collect();
        if let Some(last) = characters.last_mut() {
            *last = dice.pick(RARE).0;
        }
        characters.into_iter().collect()
    }

    /// The own part of a dotted name.
    pub fn dotted(&self, woman: bool, dice: &mut Random) -> &'static str {
        let list = if woman { UYGHUR_WOMEN } else { UYGHUR_MEN };
        list[dice.below(list.len())]
    }

    /// A Tibetan or Mongolian name, with the code of the people (GB 3304).
    pub fn long(&self, dice: &mut Random) -> (String, &'static str) {
        if dice.chance(0.5) {
            (format!("{}{}", dice.pick(TIBETAN), dice.pick(TIBETAN)), "04")
        } else {
            ((*dice.pick(MONGOLIAN)).to_owned(), "02")
        }
    }

    /// A foreigner's name as the passport's machine-readable line orders it: family name first.
    pub fn foreign(&self, woman: bool, dice: &mut Random) -> String {
        let given = dice.pick(if woman { GIVEN_LATIN_WOMEN } else { GIVEN_LATIN_MEN });
        format!("{} {given}", dice.pick(FAMILY_LATIN))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Chance that two people of the same sex and decade have the same given name: a few in ten thousand, as in the
    /// country (2.5 in ten thousand for men of all ages, 4.5 for women; more within a decade).
    #[test]
    fn given_names_have_a_tail() {
        let names = Given::new();
        let mut dice = Random::new(5);
        for (woman, year) in [(false, 1975), (true, 1955), (false, 2012), (true, 1992)] {
            let mut counts = std::collections::HashMap::new();
            let many = 40_000;
            for _ in 0..many {
                *counts.entry(names.given(woman, year, None, &mut dice)).or_insert(0u64) += 1;
            }
            let same: u64 = counts.values().map(|n| n * (n - 1)).sum();
            let chance = same as f64 / (many as f64 * (many - 1) as f64);
            assert!((0.000_1..0.002_5).contains(&chance), "{woman} {year}: {chance}");
        }
    }

    #[test]
    fn names_of_every_origin_are_names() {
        let names = Given::new();
        let mut dice = Random::new(9);
        for round in 0..500 {
            let woman = round % 2 == 0;
            let dotted = format!("{}·{}", names.dotted(woman, &mut dice), names.dotted(false, &mut dice));
            let (long, people) = names.long(&mut dice);
            for name in [dotted, long, names.foreign(woman, &mut dice)] {
                assert!(standards::identifiers::is_person_name(&name), "{name}");
            }
            assert!(people == "04" || people == "02");
        }
    }
}

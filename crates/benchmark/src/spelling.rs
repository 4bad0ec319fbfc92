//! How names are misspelt: homophones, look-alikes, traditional characters, pinyin. Written from general knowledge.

use std::collections::HashMap;

use demo::random::Random;
use standards::pinyin::readings;

use crate::names::{RARE, TRANSLITERATIONS};

/// Characters that desks hear for one another come from here: those of names, surnames first.
const HEARD: &str = "王汪李黎里张章刘留陈程杨阳黄皇赵兆吴武周洲徐许孙逊马玛朱珠胡湖郭国何河林琳高皋罗洛郑正梁良谢榭宋颂唐糖韩涵邓登冯逢曹草彭鹏曾增肖萧消田甜董懂潘攀袁原元圆源蔡菜蒋讲余于俞鱼瑜宇雨玉育杜度叶业夜程成承诚城魏卫味苏素吕旅丁盯任仁卢芦沈审姚尧摇钟中忠终姜江将崔催谭谈陆路范饭汪廖料石时实诗金今津锦韦围贾假夏下付傅富福方芳房邹熊雄白柏孟梦秦勤琴邱秋丘侯后尹银薛雪闫严颜岩艳燕雷蕾龙隆史世士陶桃贺赫毛茂段郝好龚宫邵少绍钱前覃戴代莫默孔向象常长易义艺毅乔桥赖文闻雯庞樊繁兰蓝岚施师洪红宏鸿虹倪泥章彰鲁露葛翁岳悦月季纪继邢行祝竹左佐涂图谷古祁齐其琪奇耿舒书淑树舟伟玮维威薇微为强蔷墙军君俊骏均钧磊垒洋扬勇永咏涌涛滔超朝明鸣铭名辉晖慧惠会波博伯鑫欣新心馨昕辛志智致芝知之治杰洁捷婕峰锋丰风枫凤斌彬宾兵冰飞菲非霏静敬婧靖镜娟涓丽莉立力利俐励娜纳敏闽玲灵铃凌菱霞侠英瑛莹迎盈颖影映萍平苹屏芬分芳燕艳雁妍彦梅美玫珍真贞桢兰澜岚云芸韵运秀绣琼倩茜婷庭廷亭佳嘉家加怡仪宜依一伊梓子紫梦孟诗施思斯丝涵寒韩晗轩宣萱瑄浩昊皓豪昌常畅宇羽予航杭博搏凯楷恺旭绪序晨辰臣宸阳洋扬旸天添田乐勒可科克欣馨歆妍研言晴情清青庆睿瑞锐泽择帅率坤昆琨乾谦前安桉岸国果过建健剑荐德得华花桦海孩春椿纯东冬栋生声升胜盛圣顺舜万婉宛祥详翔香湘向学雪平萍";

/// Characters that look like one another, in pairs: what is meant, what is written. Both ways are used.
const ALIKE: &str = "晴睛治冶洋样祥样详祥瑞端培陪佩珮梅海清请静净婷停涛寿峰蜂辉挥伟纬玮伟俊竣骏俊浚俊志忘军车明朋朗郎丽酉娟捐涓娟琳林楠南萍苹芳方英美红江虹红云去玲铃铃岭怡恰欣欧雪雷霞霄蕾雷蓉容慧惠思恩恒桓博搏传伦倩情晨辰昕听昌晶旭旮振震铭名铁轶钧均钰玉钦软珍诊珠株璐露瑶遥莉利菁青菲非萱宣薇微磊石宇字宁于安女宏宠家冢寒塞帆帅帅师庆厌康唐延廷建健弘引彦颜彬杉斌武彤丹徐除涂徐许计萧肖付傅邱丘阎闫闫闰段假郭廓邓双马乌乌鸟汤场杨扬陈阵孙孔刘对何河宋宗谭潭潘播董重袁衰蒋将蔡葵贾贯薛薜阮院余佘杜社苏办任仁卢户姜美崔催范苑汪王廖寥石右金全复夏方万邹郑熊态白自孟盂秦泰尹伊史吏陶掏毛手郝赫邵绍武式钱线戴载孔孙向同常裳戍戌己已土士末未由甲申甲太大天夭子予午牛今令千干刀力侯候昊吴旻昊泽译荧莹";

/// Simplified and traditional, in pairs.
const TRADITIONAL: &str = "刘劉张張陈陳杨楊赵趙吴吳孙孫马馬罗羅郑鄭谢謝许許韩韓邓鄧冯馮肖蕭萧蕭蒋蔣叶葉苏蘇吕呂卢盧钟鍾谭譚陆陸贾賈韦韋邹鄒阎閻闫閆龙龍贺賀顾顧龚龔钱錢严嚴华華国國军軍红紅丽麗兰蘭凤鳳风風庆慶伟偉强強刚剛梦夢静靜颖穎莹瑩学學宝寶荣榮东東飞飛鹏鵬云雲辉輝杰傑涛濤峰峯泽澤艳豔玮瑋晓曉兴興义義礼禮贵貴宁寧庄莊维維继繼绍紹纪紀纯純绪緒锋鋒铁鐵铭銘锦錦钢鋼银銀镇鎮锐銳长長闻聞韵韻顺順颜顏颂頌骏駿腾騰鸿鴻鹤鶴齐齊双雙圣聖坚堅娅婭宾賓岚嵐师師广廣征徵怀懷恺愷悦悅愿願晋晉晔曄权權枫楓栋棟树樹桦樺桥橋欢歡毕畢洁潔济濟润潤渊淵灵靈烨燁焕煥琼瓊环環珑瓏瑶瑤祯禎绮綺胜勝艺藝芦蘆苇葦莲蓮萝蘿誉譽诗詩诚誠语語谊誼谦謙贝貝贞貞贤賢赞贊轩軒迁遷达達远遠连連逊遜钧鈞钰鈺铃鈴铎鐸锡錫镜鏡阳陽霁霽韬韜预預频頻颐頤驰馳骁驍鲁魯鸣鳴黄黃";

/// The tables, ready.
#[derive(Debug)]
pub struct Spelling {
    heard: HashMap<Box<str>, Vec<char>>,
    alike: HashMap<char, Vec<char>>,
    traditional: HashMap<char, char>,
}

impl Default for Spelling {
    fn default() -> Self {
        Self::new()
    }
}

fn pairs(text: &str) -> impl Iterator<Item = (char, char)> {
    let characters: Vec<char> = text.chars().collect();
    (0..characters.len() / 2).map(move |at| (characters[2 * at], characters[2 * at + 1]))
}

impl Spelling {
    /// The tables.
    #[must_use]
    pub fn new() -> Self {
        let mut heard: HashMap<Box<str>, Vec<char>> = HashMap::new();
        for character in HEARD.chars() {
            if let Some(reading) = readings(character).into_iter().next() {
                let list = heard.entry(reading).or_default();
                if !list.contains(&character) {
                    list.push(character);
                }
            }
        }
        let mut alike: HashMap<char, Vec<char>> = HashMap::new();
        for (one, other) in pairs(ALIKE) {
            alike.entry(one).or_default().push(other);
            alike.entry(other).or_default().push(one);
        }
        Self { heard, alike, traditional: pairs(TRADITIONAL).collect() }
    }

    /// Another character for one that `other` finds something for; the given name rather than the surname.
    fn replace(
        name: &str,
        dice: &mut Random,
        other: impl Fn(char, &mut Random) -> Option<char>,
    ) -> Option<String> {
        let mut characters: Vec<char> = name.chars().collect();
        let start = if dice.chance(0.15) { 0 } else { dice.below(characters.len()).max(1) };
        for turn in 0..characters.len() {
            let at = (start + turn) % characters.len();
            if let Some(new) = other(characters[at], dice).filter(|new| *new != characters[at]) {
                characters[at] = new;
                return Some(characters.into_iter().collect());
            }
        }
        None
    }

    /// One character heard as another.
    pub fn homophone(&self, name: &str, dice: &mut Random) -> Option<String> {
        Self::replace(name, dice, |character, dice| {
            let reading = readings(character).into_iter().next()?;
            let list: Vec<char> =
                self.heard.get(&reading)?.iter().copied().filter(|c| *c != character).collect();
            (!list.is_empty()).then(|| *dice.pick(&list))
        })
    }

    /// One character read as another.
    pub fn look_alike(&self, name: &str, dice: &mut Random) -> Option<String> {
        Self::replace(name, dice, |character, dice| {
            self.alike.get(&character).filter(|l| !l.is_empty()).map(|l| *dice.pick(l))
        })
    }

    /// Traditional characters where there are some.
    #[must_use]
    pub fn traditional(&self, name: &str) -> Option<String> {
        let new: String = name.chars().map(|c| self.traditional.get(&c).copied().unwrap_or(c)).collect();
        (new != name).then_some(new)
    }

    /// The name in Latin letters, as one of three ways writes it.
    pub fn pinyin(&self, name: &str, dice: &mut Random) -> Option<String> {
        let syllables: Vec<String> =
            name.chars().map(|c| readings(c).into_iter().next().map(String::from)).collect::<Option<_>>()?;
        let (first, rest) = syllables.split_first()?;
        let capital = |s: &str| {
            let mut letters = s.chars();
            letters.next().map(|c| c.to_ascii_uppercase().to_string() + letters.as_str()).unwrap_or_default()
        };
        Some(match dice.below(3) {
            0 => syllables.concat(),
            1 => format!("{} {}", capital(first), capital(&rest.concat())),
            _ => syllables.concat().to_uppercase(),
        })
    }

    /// What a system without the rare character holds.
    pub fn without_rare(&self, name: &str, dice: &mut Random) -> Option<String> {
        let (rare, alike) = RARE.iter().find(|(rare, _)| name.contains(*rare))?;
        let written = match dice.below(10) {
            0..4 => alike.to_string(),
            4..7 => readings(*rare).into_iter().next().map_or_else(|| "?".to_owned(), String::from),
            7..9 => "?".to_owned(),
            _ => "*".to_owned(),
        };
        Some(name.replace(*rare, &written))
    }

    /// Another dot, none, or the first part alone.
    pub fn dot(&self, name: &str, dice: &mut Random) -> Option<String> {
        if !name.contains('·') {
            return None;
        }
        Some(match dice.below(8) {
            0 => name.replace('·', "•"),
            1 => name.replace('·', "."),
            2 => name.replace('·', " "),
            3 => name.replace('·', "．"),
            4 | 5 => name.replace('·', ""),
            6 => name.replace('·', "-"),
            _ => name.split('·').next().unwrap_or_default().to_owned(),
        })
    }

    /// Other characters for the same sound of a minority's name.
    pub fn transliterate(&self, name: &str, dice: &mut Random) -> Option<String> {
        let start = dice.below(TRANSLITERATIONS.len());
        (0..TRANSLITERATIONS.len())
            .map(|turn| TRANSLITERATIONS[(start + turn) % TRANSLITERATIONS.len()])
            .find_map(|(one, other)| {
                if name.contains(one) {
                    Some(name.replacen(one, other, 1))
                } else if name.contains(other) {
                    Some(name.replacen(other, one, 1))
                } else {
                    None
                }
            })
    }

    /// A child's pet name: 浩浩 or 小浩 from 王浩宇.
    pub fn nickname(&self, name: &str, dice: &mut Random) -> Option<String> {
        let characters: Vec<char> = name.chars().collect();
        if characters.len() < 2 || characters.len() > 3 {
            return None;
        }
        let last = characters[characters.len() - 1];
        let pet = ["宝宝", "乐乐", "豆豆", "妞妞", "毛毛", "贝贝", "小宝", "天天", "果果", "糖糖"];
        Some(match dice.below(6) {
            0 | 1 => format!("{}{last}{last}", characters[0]),
            2 => format!("小{last}"),
            3 => format!("{}小{last}", characters[0]),
            4 => format!("{}{}", characters[0], dice.pick(&pet)),
            _ => (*dice.pick(&pet)).to_owned(),
        })
    }

    /// A character lost, a space or a mark too many.
    pub fn cut(&self, name: &str, woman: bool, dice: &mut Random) -> String {
        let mut characters: Vec<char> = name.chars().collect();
        match dice.below(5) {
            0 | 1 if characters.len() > 2 => {
                let at = 1 + dice.below(characters.len() - 1);
                characters.remove(at);
                characters.into_iter().collect()
            }
            2 => format!("{name}({})", if woman { "女" } else { "男" }),
            3 => {
                let at = 1 + dice.below(characters.len().max(2) - 1);
                characters.insert(at.min(characters.len()), '　');
                characters.into_iter().collect()
            }
            _ => {
                let at = 1.min(characters.len());
                characters.insert(at, ' ');
                characters.into_iter().collect()
            }
        }
    }

    /// A foreigner's name in another order or dress.
    pub fn foreign(&self, name: &str, dice: &mut Random) -> String {
        let (family, given) = name.split_once(' ').unwrap_or((name, ""));
        let capital = |s: &str| -> String {
            s.split(' ')
                .map(|word| {
                    let mut letters = word.chars();
                    letters
                        .next()
                        .map(|c| c.to_string() + &letters.as_str().to_lowercase())
                        .unwrap_or_default()
                })
                .collect::<Vec<_>>()
                .join(" ")
        };
        match dice.below(6) {
            0 => format!("{given} {family}"),
            1 => format!("{} {}", capital(given), capital(family)),
            2 => format!("{},{given}", family),
            3 => format!("{} {}", capital(family), capital(given)),
            4 => format!("{family} {}", given.split(' ').next().unwrap_or(given)),
            _ => name.replace(' ', ""),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn misspelt_names_differ_and_stay_near() {
        let spelling = Spelling::new();
        let mut dice = Random::new(1);
        for _ in 0..50 {
            let heard = spelling.homophone("张伟明", &mut dice).unwrap();
            let sound = |s: &str| s.chars().map(|c| readings(c)[0].to_string()).collect::<String>();
            assert!(heard != "张伟明" && sound(&heard) == sound("张伟明"), "{heard}");
            let seen = spelling.look_alike("杨晴", &mut dice).unwrap();
            assert!(seen != "杨晴" && seen.chars().count() == 2, "{seen}");
            let dot = spelling.dot("买买提·吐尔逊", &mut dice).unwrap();
            assert!(dot.starts_with("买买提") && !dot.contains('·'), "{dot}");
        }
        assert_eq!(spelling.traditional("张伟").unwrap(), "張偉");
        assert_eq!(spelling.traditional("李一"), None);
        assert_eq!(spelling.dot("张伟", &mut dice), None);
        let latin = spelling.pinyin("张伟", &mut dice).unwrap();
        assert_eq!(latin.replace(' ', "").to_lowercase(), "zhangwei");
        assert!(spelling.without_rare("张堃", &mut dice).unwrap().starts_with('张'));
        assert_ne!(spelling.transliterate("买买提·吐尔逊", &mut dice).unwrap(), "买买提·吐尔逊");
    }
}

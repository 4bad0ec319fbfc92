//! Names by frequency: the commonest surnames with their shares, and characters of given names by sex and decade.
//!
//! Written from general knowledge; the shares are rounded.

use crate::random::Random;

/// Surnames in falling frequency; the first hundred carry about 85 % of the people.
const SURNAMES: &str = "王 李 张 刘 陈 杨 黄 赵 吴 周 徐 孙 马 朱 胡 郭 何 林 高 罗 郑 梁 谢 宋 唐 许 韩 邓 冯 曹 彭 曾 肖 田 董 潘 袁 蔡 蒋 余 于 杜 叶 程 魏 苏 吕 丁 任 卢 姚 沈 钟 姜 崔 谭 陆 范 汪 廖 石 金 韦 贾 夏 付 方 邹 熊 白 孟 秦 邱 侯 江 尹 薛 闫 雷 龙 史 陶 贺 毛 段 郝 顾 龚 邵 覃 武 钱 戴 严 莫 孔 向 常 汤 康 易 乔 赖 文 庞 樊 殷 兰 施 颜 洪 倪 章 鲁 葛 翁 岳 梅 季 邢 祝 左 涂 谷 祁 时 耿 舒 詹 关 芦 单 骆 凌 纪 柯 鲍 童 欧阳 焦 裴 甘 柳 席 卜 苗 房 聂 丰 齐 万 包 尤 饶 宁 游 柏 阮 桂 闵 解 佘 滕 华 辛 冉 温 牛 霍 安 申 盛 费 习 俞 查 傅 仇 管 屈 卓 蒲 成 蓝 晏 车 项 隋 简 连 车 米 冷 黎 娄 柴 井 司马 上官 诸葛";

/// Share in per mille of the first surnames; the rest falls slowly.
const SHARES: [f64; 24] = [
    71.7, 70.0, 67.4, 53.8, 45.3, 30.8, 24.5, 22.3, 20.5, 20.3, 16.6, 15.4, 13.0, 12.6, 12.3, 12.0, 11.7,
    11.4, 10.5, 10.3, 9.2, 8.9, 8.4, 8.1,
];

/// Characters of given names: men and women, by decade of birth from before 1950 on.
const MEN: [&str; 8] = [
    "德明国文清华荣玉金福贵海成忠志林春万生才永庆世长元宝兴树洪富",
    "建国新民保明志华文军和平胜利玉德成永福生林春海忠庆义家友光",
    "建军红卫东国强志刚永明文革学武新平海勇伟兵立忠红旗春生宏",
    "军勇伟强涛斌磊刚辉波峰杰鹏志建国华明海涌永东晓红平超宏亮",
    "鹏伟涛磊超杰浩飞强斌帅龙凯亮辉俊峰阳旭勇洋波明宇文",
    "浩杰鹏宇俊豪凯文博文龙鑫阳旭帅天翔子豪志强磊航晨嘉伟哲",
    "浩然子轩宇航梓涵俊杰博文子涵浩宇皓轩一鸣佳豪天佑雨泽家辉",
    "沐宸浩宇奕辰宇轩梓睿亦辰子墨景行屿嘉懿铭泽煜瑾泽言知",
];
const WOMEN: [&str; 8] = [
    "秀英桂兰玉珍凤素芳淑贞金花菊香莲翠云春梅荣华美琴琼枝爱",
    "秀英桂兰玉兰凤英淑珍素芳翠华秀兰菊香玉梅春莲爱珍桂芳荣玲",
    "玉梅红霞秀丽春爱萍桂英玲凤菊芳淑华燕荣莲香云翠敏艳",
    "丽红艳霞敏燕静玲娟萍芳梅英莉娜琴颖秀云洁霞春秋晓玉",
    "婷丽娜静艳燕敏雪莉倩玲娟晶欣颖洁芳霞蕾慧琳佳丹莹",
    "婷雪莹慧欣悦雨佳怡静颖琪梦瑶思琦文倩晴萌琳楠蕊璐嘉",
    "欣怡子涵雨涵梓涵可欣诗涵佳怡思雨雨欣梦琪语嫣紫萱依诺",
    "若汐沐语桐芷晴一诺梓萱诗涵苡沫知夏星眠婉清念安玥彤言",
];

/// The characters that were in fashion for given names of this sex in the decade of this year.
#[must_use]
pub fn fashionable(woman: bool, year: i32) -> &'static str {
    let decade = ((year - 1940) / 10).clamp(0, 7) as usize;
    if woman { WOMEN[decade] } else { MEN[decade] }
}

/// The surnames, with running shares for quick picking.
#[derive(Debug)]
pub struct Names {
    surnames: Vec<&'static str>,
    shares: Vec<f64>,
}

impl Default for Names {
    fn default() -> Self {
        Self::new()
    }
}

impl Names {
    /// The tables, ready.
    #[must_use]
    pub fn new() -> Self {
        let surnames: Vec<&str> = SURNAMES.split(' ').collect();
        let mut sum = 0.0;
        let shares = (0..surnames.len())
            .map(|rank| {
                sum += SHARES.get(rank).copied().unwrap_or(180.0 / (rank as f64 + 1.0));
                sum
            })
            .collect();
        Self { surnames, shares }
    }

    /// A surname.
    pub fn surname(&self, dice: &mut Random) -> &'static str {
        let mark = dice.part() * self.shares.last().copied().unwrap_or(1.0);
        let rank = self.shares.partition_point(|share| *share < mark);
        self.surnames[rank.min(self.surnames.len() - 1)]
    }

    /// A whole name for somebody of this sex (`1` or `2`) born in this year.
    pub fn name(&self, surname: &str, woman: bool, year: i32, dice: &mut Random) -> String {
        let decade = ((year - 1940) / 10).clamp(0, 7) as usize;
        let characters: Vec<char> = if woman { WOMEN } else { MEN }[decade].chars().collect();
        // One-character names were in fashion for those born from the seventies to the nineties.
        let single = matches!(decade, 3..=5) && dice.chance(0.22);
        let mut name = String::with_capacity(12);
        name.push_str(surname);
        let first = *dice.pick(&characters);
        name.push(first);
        if !single {
            name.push(*dice.pick(&characters));
        }
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_names() {
        let names = Names::new();
        let mut dice = Random::new(3);
        let mut wang = 0;
        for round in 0..5_000 {
            let surname = names.surname(&mut dice);
            wang += usize::from(surname == "王");
            let name = names.name(surname, round % 2 == 0, 1930 + round % 90, &mut dice);
            assert!(standards::identifiers::is_person_name(&name), "{name}");
        }
        assert!((250..550).contains(&wang), "{wang}");
    }
}

//! Administrative division codes (GB/T 2260 and NBS 12-digit statistical codes) and administrative tiers.

use std::fmt;

/// The five administrative tiers, from the province down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// 省
    Province,
    /// 市
    City,
    /// 县
    County,
    /// 乡镇、街道
    Township,
    /// 村、社区
    Village,
}

impl Tier {
    /// How many leading digits of a division code name a division of this tier.
    pub const fn significant_digits(self) -> usize {
        match self {
            Tier::Province => 2,
            Tier::City => 4,
            Tier::County => 6,
            Tier::Township => 9,
            Tier::Village => 12,
        }
    }

    /// The Chinese name shown to users.
    pub const fn name(self) -> &'static str {
        match self {
            Tier::Province => "省级",
            Tier::City => "市级",
            Tier::County => "县级",
            Tier::Township => "乡级",
            Tier::Village => "村级",
        }
    }
}

/// A 12-digit division code; higher divisions end in zeros (411503000000 is a county).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegionCode([u8; 12]);

/// Why a text is no division code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a division code is 2, 4, 6, 9 or 12 digits")]
pub struct BadRegionCode;

impl RegionCode {
    /// The whole country: contains every division.
    pub const NATION: RegionCode = RegionCode([b'0'; 12]);

    /// Reads a code of 2, 4, 6, 9 or 12 digits; shorter ones are filled with zeros.
    pub fn parse(text: &str) -> Result<Self, BadRegionCode> {
        let bytes = text.as_bytes();
        if !matches!(bytes.len(), 2 | 4 | 6 | 9 | 12) || !bytes.iter().all(u8::is_ascii_digit) {
            return Err(BadRegionCode);
        }
        let mut code = [b'0'; 12];
        code[..bytes.len()].copy_from_slice(bytes);
        Ok(Self(code))
    }

    /// All 12 digits.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("000000000000")
    }

    /// The tier, told from the trailing zeros; `None` for the whole country.
    pub fn tier(&self) -> Option<Tier> {
        let tiers = [Tier::Village, Tier::Township, Tier::County, Tier::City, Tier::Province];
        let mut start = 12;
        for (index, tier) in tiers.iter().enumerate() {
            let shorter = tiers.get(index + 1).map_or(0, |t| t.significant_digits());
            if self.0[shorter..start].iter().any(|d| *d != b'0') {
                return Some(*tier);
            }
            start = shorter;
        }
        None
    }

    /// The digits that distinguish this division: all others below it share them.
    pub fn prefix(&self) -> &str {
        &self.as_str()[..self.tier().map_or(0, Tier::significant_digits)]
    }

    /// Whether `other` is this division or lies within it.
    pub fn contains(&self, other: &RegionCode) -> bool {
        other.as_str().starts_with(self.prefix())
    }

    /// The division of the given tier that holds this one (itself if it is already at or above that tier).
    pub fn at(&self, tier: Tier) -> RegionCode {
        let mut code = [b'0'; 12];
        let digits = tier.significant_digits();
        code[..digits].copy_from_slice(&self.0[..digits]);
        RegionCode(code)
    }
}

impl fmt::Display for RegionCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
impl fmt::Debug for RegionCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
impl std::str::FromStr for RegionCode {
    type Err = BadRegionCode;
    fn from_str(text: &str) -> Result<Self, BadRegionCode> {
        Self::parse(text)
    }
}
impl serde::Serialize for RegionCode {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.as_str())
    }
}
impl<'de> serde::Deserialize<'de> for RegionCode {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tier_and_containment_follow_the_trailing_zeros() -> Result<(), BadRegionCode> {
        let city = RegionCode::parse("4115")?;
        let county = RegionCode::parse("411503")?;
        let village = RegionCode::parse("411503001001")?;
        assert_eq!(city.tier(), Some(Tier::City));
        assert_eq!(county.tier(), Some(Tier::County));
        assert_eq!(village.tier(), Some(Tier::Village));
        assert!(city.contains(&village) && county.contains(&village) && !village.contains(&county));
        assert!(RegionCode::NATION.contains(&city));
        assert_eq!(village.at(Tier::Township).as_str(), "411503001000");
        assert!(RegionCode::parse("41150").is_err() && RegionCode::parse("41x5").is_err());
        Ok(())
    }
}

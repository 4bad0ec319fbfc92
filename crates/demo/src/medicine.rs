//! Medicines and services with plausible prices. Names come from the code table `drug_common`.

use crate::sheet::Fen;

/// A medicine of the code table, as a pharmacy sells it.
#[derive(Debug)]
pub struct Drug {
    /// Code in `drug_common`.
    pub code: &'static str,
    /// CV08.50.002
    pub form: &'static str,
    /// Presentation.
    pub spec: &'static str,
    /// Unit in which it is sold.
    pub unit: &'static str,
    /// Price of the unit.
    pub price: Fen,
    /// Single dose.
    pub dose: &'static str,
    /// Its unit.
    pub dose_unit: &'static str,
    /// CV06.00.228
    pub frequency: &'static str,
    /// CV06.00.102
    pub route: &'static str,
    /// Days that one unit lasts.
    pub days: i64,
    /// Charge class: 09 western, 11 Chinese patent medicine.
    pub class: &'static str,
}

macro_rules! drugs {
    ($($code:literal $form:literal $spec:literal $unit:literal $price:literal $dose:literal $dose_unit:literal
       $frequency:literal $route:literal $days:literal $class:literal;)*) => {
        /// The medicines that the city uses.
        pub const DRUGS: &[Drug] = &[$(Drug {
            code: $code, form: $form, spec: $spec, unit: $unit, price: Fen($price), dose: $dose, dose_unit: $dose_unit,
            frequency: $frequency, route: $route, days: $days, class: $class,
        }),*];
    };
}

drugs! {
    "D0001" "03" "0.25g×24粒" "盒" 680 "0.5" "g" "14" "1" 4 "09";
    "D0002" "04" "0.125g×12袋" "盒" 950 "0.125" "g" "14" "1" 4 "09";
    "D0009" "03" "0.25g×24粒" "盒" 890 "0.5" "g" "14" "1" 4 "09";
    "D0011" "01" "0.25g×12片" "盒" 1260 "0.25" "g" "01" "1" 6 "09";
    "D0012" "10" "0.125g×6袋" "盒" 1580 "0.125" "g" "14" "1" 2 "09";
    "D0014" "04" "50mg×6袋" "盒" 1490 "50" "mg" "01" "1" 3 "09";
    "D0017" "02" "0.75g" "支" 520 "1.5" "g" "01" "405" 1 "09";
    "D0018" "02" "1.0g" "支" 310 "2" "g" "09" "405" 1 "09";
    "D0024" "01" "0.25g×6片" "盒" 1120 "0.5" "g" "09" "1" 3 "09";
    "D0025" "10" "0.1g×6袋" "盒" 980 "0.1" "g" "09" "1" 3 "09";
    "D0034" "01" "0.5g×4片" "盒" 960 "0.5" "g" "09" "1" 4 "09";
    "D0035" "02" "100ml:0.5g" "瓶" 1180 "0.5" "g" "09" "405" 1 "09";
    "D0038" "01" "0.2g×100片" "瓶" 620 "0.4" "g" "14" "1" 7 "09";
    "D0044" "01" "0.1g×100片" "瓶" 850 "0.3" "g" "09" "1" 30 "09";
    "D0045" "03" "0.15g×100粒" "瓶" 2100 "0.45" "g" "09" "1" 30 "09";
    "D0052" "01" "0.2g×24片" "盒" 780 "0.8" "g" "10" "1" 3 "09";
    "D0055" "03" "75mg×10粒" "盒" 4900 "75" "mg" "01" "1" 5 "09";
    "D0056" "04" "15mg×10袋" "盒" 4200 "30" "mg" "01" "1" 5 "09";
    "D0062" "01" "5mg×28片" "盒" 420 "5" "mg" "09" "1" 28 "09";
    "D0065" "01" "10mg×30片" "盒" 560 "10" "mg" "01" "1" 15 "09";
    "D0066" "01" "30mg×7片" "盒" 1490 "30" "mg" "09" "1" 7 "09";
    "D0072" "01" "10mg×16片" "盒" 780 "10" "mg" "01" "1" 8 "09";
    "D0075" "03" "80mg×7粒" "盒" 890 "80" "mg" "09" "1" 7 "09";
    "D0077" "01" "0.15g×7片" "盒" 560 "0.15" "g" "09" "1" 7 "09";
    "D0083" "01" "25mg×20片" "盒" 340 "25" "mg" "01" "1" 10 "09";
    "D0089" "01" "25mg×100片" "瓶" 480 "12.5" "mg" "09" "1" 30 "09";
    "D0092" "02" "2ml:20mg" "支" 120 "20" "mg" "09" "404" 1 "09";
    "D0093" "01" "20mg×100片" "瓶" 1350 "20" "mg" "09" "1" 30 "09";
    "D0100" "01" "40mg×24片" "盒" 1980 "40" "mg" "09" "1" 24 "09";
    "D0106" "01" "0.1g×30片" "盒" 520 "0.1" "g" "09" "1" 30 "09";
    "D0107" "01" "75mg×7片" "盒" 1780 "75" "mg" "09" "1" 7 "09";
    "D0111" "02" "1ml:5000单位" "支" 1480 "5000" "单位" "01" "401" 1 "09";
    "D0112" "01" "20mg×7片" "盒" 690 "20" "mg" "03" "1" 7 "09";
    "D0113" "01" "10mg×7片" "盒" 820 "10" "mg" "03" "1" 7 "09";
    "D0118" "01" "0.5g×60片" "瓶" 980 "0.5" "g" "14" "1" 20 "09";
    "D0120" "01" "2mg×15片" "盒" 860 "2" "mg" "09" "1" 15 "09";
    "D0125" "01" "50mg×30片" "盒" 540 "50" "mg" "14" "1" 10 "09";
    "D0131" "01" "10mg×14片" "盒" 6100 "10" "mg" "09" "1" 14 "09";
    "D0139" "02" "3ml:300单位" "支" 6800 "14" "单位" "09" "401" 20 "09";
    "D0145" "02" "1ml:5mg" "支" 60 "5" "mg" "13" "404" 1 "09";
    "D0150" "03" "20mg×14粒" "盒" 860 "20" "mg" "01" "1" 7 "09";
    "D0154" "02" "40mg" "支" 780 "40" "mg" "01" "405" 1 "09";
    "D0157" "01" "0.5g×20片" "盒" 1450 "1" "g" "14" "1" 4 "09";
    "D0159" "01" "10mg×30片" "盒" 1080 "10" "mg" "14" "1" 10 "09";
    "D0164" "06" "3g×10袋" "盒" 980 "3" "g" "14" "1" 3 "09";
    "D0166" "06" "5.125g×6袋" "盒" 1650 "5.125" "g" "10" "1" 2 "09";
    "D0168" "04" "1g×10袋" "盒" 1920 "1" "g" "01" "1" 5 "09";
    "D0177" "03" "0.3g×20粒" "盒" 1320 "0.3" "g" "01" "1" 10 "09";
    "D0178" "10" "100ml:2g" "瓶" 1780 "5" "ml" "14" "1" 5 "09";
    "D0182" "03" "0.2g×6粒" "盒" 1520 "0.2" "g" "01" "1" 3 "09";
    "D0194" "04" "6g×10袋" "盒" 860 "6" "g" "14" "1" 3 "09";
    "D0195" "01" "10mg×6片" "盒" 720 "10" "mg" "09" "1" 6 "09";
    "D0203" "01" "0.1g×24片" "盒" 690 "0.2" "g" "01" "1" 6 "09";
    "D0205" "20" "100µg×200揿" "瓶" 1860 "200" "µg" "14" "5" 30 "09";
    "D0209" "21" "18µg×10粒" "盒" 5800 "18" "µg" "09" "5" 10 "09";
    "D0214" "01" "30mg×20片" "盒" 620 "30" "mg" "14" "1" 7 "09";
    "D0216" "02" "2ml:15mg" "支" 280 "30" "mg" "01" "404" 1 "09";
    "D0225" "01" "1mg×20片" "盒" 380 "1" "mg" "03" "1" 20 "09";
    "D0250" "01" "0.5mg×20片" "盒" 1240 "0.5" "mg" "14" "1" 7 "09";
    "D0251" "01" "6mg×30片" "盒" 1050 "12" "mg" "14" "1" 5 "09";
    "D0257" "01" "0.4mg×31片" "瓶" 1150 "0.4" "mg" "09" "1" 31 "09";
    "D0268" "02" "250ml" "袋" 290 "250" "ml" "09" "405" 1 "09";
    "D0269" "02" "250ml" "袋" 280 "250" "ml" "09" "405" 1 "09";
    "D0277" "02" "1ml:10单位" "支" 340 "10" "单位" "13" "403" 1 "09";
    "D0283" "99" "0.5g×1片" "盒" 1260 "0.5" "g" "03" "605" 1 "09";
    "D0287" "15" "2%:5g" "支" 890 "1" "g" "01" "612" 7 "09";
    "D0291" "16" "0.1%:5g" "支" 1080 "1" "g" "09" "612" 7 "09";
    "D0298" "11" "5ml:24.4mg" "支" 980 "0.1" "ml" "10" "607" 7 "09";
    "D0308" "04" "12g×10袋" "盒" 980 "12" "g" "01" "1" 5 "11";
    "D0309" "04" "10g×20袋" "包" 1180 "10" "g" "14" "1" 6 "11";
    "D0311" "09" "10ml×10支" "盒" 1650 "20" "ml" "14" "1" 2 "11";
    "D0313" "04" "2g×9袋" "盒" 2380 "2" "g" "14" "1" 3 "11";
    "D0314" "08" "100ml" "瓶" 1280 "20" "ml" "14" "1" 2 "11";
    "D0324" "28" "27mg×180丸" "瓶" 2680 "270" "mg" "14" "1" 6 "11";
}

/// The medicine with a code.
#[must_use]
pub fn drug(code: &str) -> Option<&'static Drug> {
    DRUGS.binary_search_by_key(&code, |d| d.code).ok().map(|position| &DRUGS[position])
}

/// A line of a bill.
#[derive(Debug, Clone)]
pub struct Charge {
    /// Charge class of `nhsa_fee_class`.
    pub class: &'static str,
    /// The institution's own item code.
    pub code: String,
    /// National item code.
    pub national: String,
    /// Name.
    pub name: String,
    /// Presentation, for medicines.
    pub spec: &'static str,
    /// Unit.
    pub unit: &'static str,
    /// Price of a unit.
    pub price: Fen,
    /// Units.
    pub quantity: i64,
}

impl Charge {
    /// A service.
    #[must_use]
    pub fn service(
        class: &'static str,
        number: u16,
        name: &str,
        price: i64,
        quantity: i64,
        unit: &'static str,
    ) -> Self {
        Self {
            class,
            code: format!("S{number:04}"),
            national: format!("0011{number:05}00000"),
            name: name.to_owned(),
            spec: "",
            unit,
            price: Fen(price),
            quantity,
        }
    }

    /// A medicine.
    #[must_use]
    pub fn medicine(drug: &'static Drug, name: &str, quantity: i64) -> Self {
        Self {
            class: drug.class,
            code: format!("Y{}", &drug.code[1..]),
            national: format!("X{}B001", drug.code),
            name: name.to_owned(),
            spec: drug.spec,
            unit: drug.unit,
            price: drug.price,
            quantity,
        }
    }

    /// Price times quantity.
    #[must_use]
    pub fn amount(&self) -> Fen {
        Fen(self.price.0 * self.quantity)
    }
}

/// What a bill comes to.
#[must_use]
pub fn total(charges: &[Charge]) -> Fen {
    Fen(charges.iter().map(|c| c.amount().0).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medicines_are_in_order_and_found() {
        assert!(DRUGS.is_sorted_by_key(|d| d.code));
        assert!(DRUGS.iter().all(|d| drug(d.code).is_some_and(|f| f.code == d.code) && d.price.0 > 0));
        assert!(drug("D9999").is_none());
    }
}

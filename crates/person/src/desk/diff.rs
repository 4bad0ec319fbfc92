//! Where two values differ, character by character: what stands in one and not, in order, in the other. Pure.

/// Longer values are compared as a whole: nobody reads marks in them.
const LONGEST: usize = 80;

/// For each character of `value` whether it is missing from, or stands elsewhere in, `other` (the longest common
/// subsequence is what they share). Nothing is marked where one of them is empty: there is nothing to compare.
#[must_use]
pub fn marks(other: &str, value: &str) -> Vec<bool> {
    let (a, b): (Vec<char>, Vec<char>) = (other.chars().collect(), value.chars().collect());
    if a.is_empty() || b.is_empty() || a == b {
        return vec![false; b.len()];
    }
    if a.len() > LONGEST || b.len() > LONGEST {
        return vec![true; b.len()];
    }
    // Numbers of one length are read place by place: a digit that is wrong, not one lost here and one added there.
    if a.len() == b.len() && a.iter().chain(&b).all(char::is_ascii_alphanumeric) {
        return a.iter().zip(&b).map(|(x, y)| x != y).collect();
    }
    let width = b.len() + 1;
    let mut common = vec![0u16; (a.len() + 1) * width];
    for (i, x) in a.iter().enumerate().rev() {
        for (j, y) in b.iter().enumerate().rev() {
            common[i * width + j] = if x == y {
                common[(i + 1) * width + j + 1] + 1
            } else {
                common[(i + 1) * width + j].max(common[i * width + j + 1])
            };
        }
    }
    let (mut i, mut j, mut marks) = (0, 0, vec![true; b.len()]);
    while i < a.len() && j < b.len() {
        if a[i] == b[j] {
            marks[j] = false;
            (i, j) = (i + 1, j + 1);
        } else if common[(i + 1) * width + j] >= common[i * width + j + 1] {
            i += 1;
        } else {
            j += 1;
        }
    }
    marks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(other: &str, value: &str) -> String {
        value.chars().zip(marks(other, value)).map(|(c, marked)| if marked { '^' } else { c }).collect()
    }

    #[test]
    fn what_differs_is_marked_and_nothing_else() {
        let cases = [
            ("张伟", "张伟", "张伟"),
            ("张伟", "张玮", "张^"),
            ("买买提·吐尔逊", "买买提吐尔逊", "买买提吐尔逊"),
            ("买买提吐尔逊", "买买提·吐尔逊", "买买提^吐尔逊"),
            ("411503195811071234", "411503195811701234", "411503195811^^1234"),
            ("明港镇新集村三组", "明港镇新集村5组", "明港镇新集村^组"),
            ("", "张伟", "张伟"),
            ("张伟", "", ""),
        ];
        for (other, value, expected) in cases {
            assert_eq!(shown(other, value), expected, "{other} → {value}");
        }
    }

    #[test]
    fn long_values_are_marked_as_a_whole_and_quickly() {
        let long = "甲".repeat(5000);
        assert!(marks(&long, &"乙".repeat(5000)).iter().all(|m| *m));
    }
}

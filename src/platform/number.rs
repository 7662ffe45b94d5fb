//! Floats and their text. In browsers JavaScript has that already; elsewhere the standard library brings it.

/// The shortest text that is read back as this float, which is finite and not negative, as JavaScript writes it:
/// `0.000001`, `1e-7`, `100000000000000000000`, `1e+21`.
pub fn shortest(float: f64) -> String {
    #[cfg(feature = "browser")]
    return js_sys::Number::from(float).to_string(10).map(String::from).unwrap_or_default();
    #[cfg(not(feature = "browser"))]
    javascript(&format!("{float:e}"))
}

/// The float that is nearest to a number in JSON. One too large to be held is infinite.
pub fn parse(text: &str) -> Option<f64> {
    #[cfg(feature = "browser")]
    return Some(js_sys::parse_float(text));
    #[cfg(not(feature = "browser"))]
    text.parse().ok()
}

/// Lays out digits and their exponent, `1.25e-7`, as ECMAScript has it (`Number::toString`).
#[cfg(not(feature = "browser"))]
fn javascript(text: &str) -> String {
    let (digits, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let digits: String = digits.chars().filter(char::is_ascii_digit).collect();
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let zeros = |count: i32| "0".repeat(usize::try_from(count).unwrap_or_default());
    // Digits before the point.
    let before = exponent + 1;
    let count = digits.len() as i32;
    let split = |at: i32| digits.split_at_checked(usize::try_from(at).unwrap_or_default()).unwrap_or((&digits, ""));
    match before {
        _ if (count..=21).contains(&before) => [&digits, zeros(before - count).as_str()].concat(),
        1..=21 => [split(before).0, ".", split(before).1].concat(),
        -5..=0 => ["0.", &zeros(-before), &digits].concat(),
        _ => {
            let (first, rest) = split(1);
            let point = if rest.is_empty() { "" } else { "." };
            let sign = if exponent < 0 { "-" } else { "+" };
            [first, point, rest, "e", sign, &exponent.unsigned_abs().to_string()].concat()
        }
    }
}

#[cfg(all(test, not(feature = "browser")))]
mod tests {
    use super::*;

    #[test]
    fn floats_are_written_as_javascript_writes_them() {
        let texts = [
            "0",
            "1",
            "0.5",
            "123.456",
            "0.000001",
            "0.00000123",
            "1e-7",
            "1.5e-7",
            "5e-324",
            "9007199254740993000",
            "100000000000000000000",
            "123456789012345680000",
            "1e+21",
            "1.25e+21",
            "1.7976931348623157e+308",
        ];
        for text in texts {
            assert_eq!(shortest(parse(text).unwrap()), text);
        }
    }
}

//! The text of CIDs: multibase. A few loops over an alphabet, for the crate of that name brings a coder for each base, which
//! weigh as much as a quarter of this engine.

/// Version 1 is written in this.
const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
const BASE32_Z: &[u8; 32] = b"ybndrfg8ejkmcpqxot1uwisza345h769";
/// Version 0 is written in this, without its prefix `z`.
const BASE58: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
const BASE58_FLICKR: &[u8; 58] = b"123456789abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ";
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const BASE64_URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
/// Bases 2, 8, 10, 16, 32 (extended hex) and 36 take as many of these as they need.
const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";

/// Base32 with its prefix.
pub fn base32(bytes: &[u8]) -> String {
    let (mut digits, held) = regroup(bytes, 8, 5);
    if let Some((rest, bits)) = held {
        digits.push(rest << (5 - bits));
    }
    let symbols = digits.into_iter().filter_map(|digit| BASE32.get(usize::from(digit)));
    [b'b'].iter().chain(symbols).copied().map(char::from).collect()
}

/// Base64 without padding, bare.
pub fn base64(bytes: &[u8]) -> String {
    let (mut digits, held) = regroup(bytes, 8, 6);
    if let Some((rest, bits)) = held {
        digits.push(rest << (6 - bits));
    }
    digits.into_iter().filter_map(|digit| BASE64.get(usize::from(digit))).copied().map(char::from).collect()
}

/// Base58btc, bare.
pub fn base58(bytes: &[u8]) -> String {
    let symbols = rebase(bytes, 256, 58).into_iter().filter_map(|digit| BASE58.get(usize::from(digit)));
    symbols.copied().map(char::from).collect()
}

/// The bytes of a text with its prefix; none if it is not what the prefix says, or has one that no CIDs are written with.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let mut symbols = text.chars();
    let prefix = symbols.next()?;
    let symbols = symbols.as_str();
    let digits = |count| DIGITS.get(..count);
    match prefix {
        '0' => read(symbols, digits(2)?),
        '7' => read(symbols, digits(8)?),
        '9' => read(symbols, digits(10)?),
        'f' | 'F' => read(&symbols.to_ascii_lowercase(), digits(16)?),
        'v' | 'V' => read(&symbols.to_ascii_lowercase(), digits(32)?),
        't' | 'T' => read(&unpadded(symbols, 8)?.to_ascii_lowercase(), digits(32)?),
        'k' | 'K' => read(&symbols.to_ascii_lowercase(), DIGITS),
        'b' | 'B' => read(&symbols.to_ascii_lowercase(), BASE32),
        'c' | 'C' => read(&unpadded(symbols, 8)?.to_ascii_lowercase(), BASE32),
        'h' => read(symbols, BASE32_Z),
        'z' => read(symbols, BASE58),
        'Z' => read(symbols, BASE58_FLICKR),
        'm' => read(symbols, BASE64),
        'M' => read(unpadded(symbols, 4)?, BASE64),
        'u' => read(symbols, BASE64_URL),
        'U' => read(unpadded(symbols, 4)?, BASE64_URL),
        _ => None,
    }
}

/// Text filled up to a multiple of `group` symbols, without what fills it.
fn unpadded(text: &str, group: usize) -> Option<&str> {
    let symbols = text.trim_end_matches('=');
    (text.len() == symbols.len().next_multiple_of(group)).then_some(symbols)
}

fn read(symbols: &str, alphabet: &[u8]) -> Option<Vec<u8>> {
    let digit = |symbol| alphabet.iter().position(|one| *one == symbol).map(|digit| digit as u8);
    let digits: Vec<u8> = symbols.bytes().map(digit).collect::<Option<_>>()?;
    let base = alphabet.len() as u32;
    if !base.is_power_of_two() {
        return Some(rebase(&digits, base, 256));
    }
    // What is left must be less than a symbol, and nothing.
    match regroup(&digits, base.ilog2(), 8) {
        (bytes, None) => Some(bytes),
        (bytes, Some((0, bits))) if bits < base.ilog2() => Some(bytes),
        _ => None,
    }
}

/// Digits of `from` bits as digits of `to` bits, and what is left at the end: its value and how many bits it has.
fn regroup(digits: &[u8], from: u32, to: u32) -> (Vec<u8>, Option<(u8, u32)>) {
    let (mut held, mut bits) = (0_u32, 0);
    let mut regrouped = Vec::with_capacity(digits.len() * from as usize / to as usize + 1);
    for digit in digits {
        held = held << from | u32::from(*digit);
        bits += from;
        while bits >= to {
            bits -= to;
            regrouped.push((held >> bits) as u8);
            held &= (1 << bits) - 1;
        }
    }
    (regrouped, (bits > 0).then_some((held as u8, bits)))
}

/// A number written anew, in another base; zeros before it stay as many.
fn rebase(digits: &[u8], from: u32, to: u32) -> Vec<u8> {
    let zeros = digits.iter().take_while(|digit| **digit == 0).count();
    // The least digit first.
    let mut number: Vec<u8> = Vec::new();
    for digit in digits.iter().skip(zeros) {
        let mut carried = u32::from(*digit);
        for place in &mut number {
            carried += u32::from(*place) * from;
            *place = (carried % to) as u8;
            carried /= to;
        }
        while carried > 0 {
            number.push((carried % to) as u8);
            carried /= to;
        }
    }
    number.resize(number.len() + zeros, 0);
    number.reverse();
    number
}

#[cfg(test)]
mod tests {
    use multibase::Base;
    use proptest::prelude::*;

    use super::{base32, base58, decode};

    const BASES: [Base; 21] = [
        Base::Base2,
        Base::Base8,
        Base::Base10,
        Base::Base16Lower,
        Base::Base16Upper,
        Base::Base32HexLower,
        Base::Base32HexUpper,
        Base::Base32HexPadLower,
        Base::Base32HexPadUpper,
        Base::Base32Lower,
        Base::Base32Upper,
        Base::Base32PadLower,
        Base::Base32PadUpper,
        Base::Base32Z,
        Base::Base36Lower,
        Base::Base36Upper,
        Base::Base58Btc,
        Base::Base58Flickr,
        Base::Base64,
        Base::Base64Pad,
        Base::Base64Url,
    ];

    proptest! {
        #[test]
        fn it_reads_and_writes_as_the_crate_does(zeros in 0_usize..3, bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let bytes = [vec![0; zeros], bytes].concat();
            for base in BASES.into_iter().chain([Base::Base64UrlPad]) {
                prop_assert_eq!(decode(&multibase::encode(base, &bytes)), Some(bytes.clone()), "{:?}", base);
            }
            prop_assert_eq!(base32(&bytes), multibase::encode(Base::Base32Lower, &bytes));
            prop_assert_eq!(base58(&bytes), Base::Base58Btc.encode(&bytes));
        }

        #[test]
        fn it_takes_nothing_that_the_crate_does_not(text in "[0-9a-zA-Z=+/_-]{0,24}") {
            let theirs = multibase::decode(&text).ok().map(|(_, bytes)| bytes);
            match decode(&text) {
                Some(ours) => prop_assert_eq!(Some(ours), theirs),
                // Texts filled up in the middle are two, for us none.
                None => prop_assert!(theirs.is_none() || text.contains('=') || text.starts_with('R')),
            }
        }
    }
}

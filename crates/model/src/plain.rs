//! Writes numbers, amounts and addresses as text into bytes: what logs and records are full of. `fmt` says
//! the same, and its machinery is most of what a line would cost.

use std::net::IpAddr;

use crate::money::{NANOS_PER_USD, NanoUsd};

/// Two digits for each number below a hundred.
const PAIRS: &[u8; 200] = b"0001020304050607080910111213141516171819\
2021222324252627282930313233343536373839\
4041424344454647484950515253545556575859\
6061626364656667686970717273747576777879\
8081828384858687888990919293949596979899";

fn pair(value: u64) -> [u8; 2] {
    let at = usize::try_from(value % 100).unwrap_or(0) * 2;
    [PAIRS[at], PAIRS[at + 1]]
}

/// Appends a number in decimal.
pub fn number(out: &mut Vec<u8>, mut value: u64) {
    if value < 10 {
        return out.push(pair(value)[1]);
    }
    let mut digits = [0; 20];
    let mut from = digits.len();
    while value >= 10 {
        from -= 2;
        digits[from..from + 2].copy_from_slice(&pair(value));
        value /= 100;
    }
    if value > 0 {
        from -= 1;
        digits[from] = pair(value)[1];
    }
    out.extend_from_slice(&digits[from..]);
}

/// Appends a number that may be negative.
pub fn signed(out: &mut Vec<u8>, value: i64) {
    if value < 0 {
        out.push(b'-');
    }
    number(out, value.unsigned_abs());
}

/// Appends an amount as [`NanoUsd`] displays it.
pub fn money(out: &mut Vec<u8>, amount: NanoUsd) {
    let per_usd = NANOS_PER_USD.unsigned_abs();
    let (whole, mut nanos) = (amount.0.unsigned_abs() / per_usd, amount.0.unsigned_abs() % per_usd);
    if amount.0 < 0 {
        out.push(b'-');
    }
    number(out, whole);
    if nanos == 0 {
        return;
    }
    let mut fraction = *b".000000000";
    for place in fraction[1..].iter_mut().rev() {
        *place = pair(nanos % 10)[1];
        nanos /= 10;
    }
    let end = fraction.iter().rposition(|digit| *digit != b'0').unwrap_or(0);
    out.extend_from_slice(&fraction[..=end]);
}

/// Appends an address as it is displayed.
pub fn address(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(four) => {
            for (place, byte) in four.octets().into_iter().enumerate() {
                if place > 0 {
                    out.push(b'.');
                }
                number(out, byte.into());
            }
        }
        // Rare, and its rules of shortening are long.
        IpAddr::V6(_) => out.extend_from_slice(address.to_string().as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = b"|".to_vec();
        write(&mut out);
        String::from_utf8(out).expect("ASCII")
    }

    #[test]
    fn everything_reads_as_it_is_displayed() {
        let mut values = vec![0, 1, 9, 10, 11, 99, 100, 101, 999, 1_000, 12_345, u64::MAX, u64::MAX - 1];
        values.extend((0..64).map(|bit| 1_u64 << bit));
        values.extend((0..20).map(|zeros| 10_u64.saturating_pow(zeros)));
        for value in values {
            assert_eq!(text(|out| number(out, value)), format!("|{value}"));
            let whole = value.cast_signed();
            for amount in [whole, whole.wrapping_neg(), whole / 1_000, whole % NANOS_PER_USD] {
                assert_eq!(text(|out| signed(out, amount)), format!("|{amount}"));
                assert_eq!(text(|out| money(out, NanoUsd(amount))), format!("|{}", NanoUsd(amount)));
            }
        }
        for client in ["127.0.0.1", "0.0.0.0", "255.10.9.100", "::1", "2001:db8::7", "::ffff:1.2.3.4"] {
            let client: IpAddr = client.parse().expect("an address");
            assert_eq!(text(|out| address(out, client)), format!("|{client}"));
        }
    }
}

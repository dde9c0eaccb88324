//! Writes untrusted text so that one event stays one line and no terminal obeys it.
//!
//! Both log formats use this; it knows nothing of events.

use model::clock::EpochMs;

/// What text is appended to.
pub(crate) trait Text {
    /// Appends `text`.
    fn put(&mut self, text: &str);
}

impl Text for String {
    fn put(&mut self, text: &str) {
        self.push_str(text);
    }
}

impl Text for Vec<u8> {
    fn put(&mut self, text: &str) {
        self.extend_from_slice(text.as_bytes());
    }
}

/// Appends `text` as a JSON string, quotes included.
pub(crate) fn json_string(out: &mut impl Text, text: &str) {
    out.put("\"");
    escaped(out, text);
    out.put("\"");
}

/// Appends `text` bare when it cannot be misread as something else, otherwise as a JSON string.
pub(crate) fn text_value(out: &mut impl Text, text: &str) {
    let bare = !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && !b"\"\\=".contains(&b));
    if bare {
        out.put(text);
    } else {
        json_string(out, text);
    }
}

/// Appends `text` with everything escaped that could end a line, end a string or steer a terminal.
pub(crate) fn escaped(out: &mut impl Text, text: &str) {
    let plain = |b: u8| (0x20..0x7f).contains(&b) && b != b'"' && b != b'\\';
    if text.bytes().all(plain) {
        out.put(text);
        return;
    }
    for c in text.chars() {
        match c {
            '"' => out.put("\\\""),
            '\\' => out.put("\\\\"),
            '\n' => out.put("\\n"),
            '\r' => out.put("\\r"),
            '\t' => out.put("\\t"),
            c if steers(c) => {
                // Every such character lies in the Basic Multilingual Plane: one \u escape is enough.
                out.put(&format!("\\u{:04x}", u32::from(c)));
            }
            c => out.put(c.encode_utf8(&mut [0; 4])),
        }
    }
}

/// Controls (C0, DEL, C1), line and paragraph separators, byte order mark and the bidirectional
/// formatting characters (UAX #9) that make a line read otherwise than it is.
fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}')
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Appends `now_ms` as RFC 3339 in UTC with milliseconds. The same text as [`model::clock::rfc3339`],
/// without its allocation: the recorder writes tens of thousands of these per second.
pub(crate) fn timestamp(out: &mut impl Text, now_ms: EpochMs) {
    let (days, ms) = (now_ms / 86_400_000, now_ms % 86_400_000);
    if days >= 2_932_895 {
        // From 9999-12-30 on the model clamps (the last day that jiff knows).
        out.put(&model::clock::rfc3339(now_ms));
        return;
    }
    let (year, month, day) = civil(days);
    let mut text = *b"0000-00-00T00:00:00.000Z";
    let parts = [
        (0, 4, year),
        (5, 2, month),
        (8, 2, day),
        (11, 2, ms / 3_600_000),
        (14, 2, ms / 60_000 % 60),
        (17, 2, ms / 1_000 % 60),
        (20, 3, ms % 1_000),
    ];
    for (at, width, mut value) in parts {
        for place in text[at..at + width].iter_mut().rev() {
            *place = b'0' + u8::try_from(value % 10).unwrap_or(0);
            value /= 10;
        }
    }
    out.put(std::str::from_utf8(&text).unwrap_or_default());
}

/// Year, month and day of a day since 1970-01-01 (Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    (400 * era + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_untrusted_ends_a_line_or_steers_a_terminal() {
        for (text, expected) in [
            ("plain", "plain"),
            ("a\r\nb", "a\\r\\nb"),
            ("\u{1b}[31mred", "\\u001b[31mred"),
            ("x\u{2028}y\u{2029}", "x\\u2028y\\u2029"),
            ("\u{9b}2J", "\\u009b2J"),
            ("\u{202e}txt", "\\u202etxt"),
            ("say \"no\" \\", "say \\\"no\\\" \\\\"),
            ("玉门", "玉门"),
        ] {
            let mut out = String::new();
            escaped(&mut out, text);
            assert_eq!(out, expected);
            let mut quoted = String::new();
            json_string(&mut quoted, text);
            assert_eq!(serde_json::from_str::<String>(&quoted).expect("JSON"), text);
        }
    }

    #[test]
    fn a_text_value_is_quoted_when_it_could_pass_for_a_field() {
        for (text, expected) in
            [("abc", "abc"), ("", "\"\""), ("a b", "\"a b\""), ("trace_id=1", "\"trace_id=1\"")]
        {
            let mut out = String::new();
            text_value(&mut out, text);
            assert_eq!(out, expected);
        }
    }

    #[test]
    fn times_read_as_the_model_writes_them() {
        let leap_day_2024 = 1_709_164_800_000;
        for now_ms in [0, 1, 951_782_399_999, leap_day_2024, 1_790_000_000_123, 253_402_300_799_999, u64::MAX]
        {
            let mut out = String::new();
            timestamp(&mut out, now_ms);
            assert_eq!(out, model::clock::rfc3339(now_ms), "{now_ms}");
        }
    }
}

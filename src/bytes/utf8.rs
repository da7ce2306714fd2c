//! Whether bytes are UTF-8, many at a time.

/// Bytes looked at together.
const WINDOW: usize = 64;

/// Bytes before a window that say what must follow in it.
const BEFORE: usize = 3;

/// Whether `bytes` are UTF-8 (RFC 3629, section 4).
///
/// `std` decides byte by byte where text is not ASCII; this looks at each byte beside the three before it, without
/// a branch, so that the compiler takes 16 or more bytes in one step. It gives no place: ask `std` for that.
pub(crate) fn is_utf8(bytes: &[u8]) -> bool {
    let mut window = [0_u8; BEFORE + WINDOW];
    let mut chunks = bytes.chunks_exact(WINDOW);
    for chunk in &mut chunks {
        window.copy_within(WINDOW.., 0);
        if let Some((_, now)) = window.split_first_chunk_mut::<BEFORE>() {
            now.copy_from_slice(chunk);
        }
        if !follows(&window) {
            return false;
        }
    }
    // Zeros behind the last bytes: a sequence that the end cuts off lacks a byte there.
    window.copy_within(WINDOW.., 0);
    let (_, now) = window.split_at_mut(BEFORE);
    now.fill(0);
    for (byte, &last) in now.iter_mut().zip(chunks.remainder()) {
        *byte = last;
    }
    follows(&window)
}

/// Whether each byte behind the first three may stand behind the three before it.
fn follows(window: &[u8; BEFORE + WINDOW]) -> bool {
    let third = window.iter();
    let second = window.iter().skip(1);
    let first = window.iter().skip(2);
    let now = window.iter().skip(BEFORE);
    let bytes = now.zip(first).zip(second.zip(third));
    let wrong = bytes.fold(0, |wrong, ((&now, &first), (&second, &third))| {
        wrong | misplaced(now, first, second, third)
    });
    wrong == 0
}

/// Not 0 if `now` may not stand behind `first`, which stands behind `second`, behind `third`.
///
/// What is wrong with an earlier byte is found when that byte is `now`.
#[inline]
fn misplaced(now: u8, first: u8, second: u8, third: u8) -> u8 {
    let continues = (now & 0xC0) == 0x80;
    let expected = (first >= 0xC0) | (second >= 0xE0) | (third >= 0xF0);
    // Lead bytes of overlong forms and of what is above U+10FFFF.
    let no_lead = ((now & 0xFE) == 0xC0) | (now >= 0xF5);
    // Second bytes that would make overlong forms, surrogates, or more than U+10FFFF.
    let overlong = ((first == 0xE0) & (now < 0xA0)) | ((first == 0xF0) & (now < 0x90));
    let beyond = ((first == 0xED) & (now >= 0xA0)) | ((first == 0xF4) & (now >= 0x90));
    u8::from((continues != expected) | no_lead | overlong | beyond)
}

#[cfg(test)]
mod tests {
    use super::{WINDOW, is_utf8};

    /// Every sequence of up to two bytes; of three and four, those of bytes that the table of RFC 3629 tells apart.
    /// Alone, and across the end of a window.
    #[test]
    #[cfg_attr(miri, ignore = "a hundred million bytes")]
    fn agrees_with_std_on_every_short_sequence() {
        let leads = [
            0x7F, 0x80, 0xBF, 0xC1, 0xC2, 0xDF, 0xE0, 0xE1, 0xEC, 0xED, 0xEE, 0xEF, 0xF0, 0xF1,
            0xF3, 0xF4, 0xF5, 0xFF,
        ];
        let edges = [0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC2, 0xE0, 0xF0];
        for a in 0..=u8::MAX {
            agrees(&[a]);
            for b in 0..=u8::MAX {
                agrees(&[a, b]);
            }
        }
        // A byte that leads nothing, where one that continues is expected, and then one that would continue it.
        for a in leads {
            for b in [0xC0, 0xC1, 0xF5, 0xFF] {
                agrees(&[a, b, 0x80]);
                agrees(&[a, b, 0x80, 0x80]);
            }
        }
        for a in leads {
            for b in edges {
                for c in edges {
                    agrees(&[a, b, c]);
                    for d in edges {
                        agrees(&[a, b, c, d]);
                    }
                }
            }
        }
    }

    fn agrees(sequence: &[u8]) {
        let same = |text: &[u8]| {
            let expected = std::str::from_utf8(text).is_ok();
            assert_eq!(
                is_utf8(text),
                expected,
                "{sequence:x?} in {} bytes",
                text.len()
            );
        };
        same(sequence);
        for before in [WINDOW - 3, WINDOW - 2, WINDOW - 1] {
            let mut text = vec![b'a'; before];
            text.extend(sequence);
            same(&text);
            text.push(b'z');
            same(&text);
        }
    }

    #[test]
    fn every_character_and_no_surrogate() {
        let step = if cfg!(miri) { 997 } else { 1 };
        let text: String = ('\0'..=char::MAX).step_by(step).collect();
        assert!(is_utf8(text.as_bytes()));
        assert!(!is_utf8(b"\xED\xA0\x80"));
        assert!(!is_utf8(b"\xF4\x90\x80\x80"));
    }
}

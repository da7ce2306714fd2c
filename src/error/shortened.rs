//! Texts of a file, cut before they stand in a message: a file must not be able to fill a log through an error,
//! and what is cut off never takes memory.

use std::fmt::{self, Write};

/// Characters that are kept.
const MOST: usize = 200;

/// Bytes that hold more characters than are kept, whatever they are.
const MOST_BYTES: usize = 1024;

/// At most 200 characters of `text`.
pub(crate) fn shortened(text: &str) -> String {
    match text.char_indices().nth(MOST) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
    }
}

/// At most 200 characters of bytes that should be text.
pub(crate) fn shortened_bytes(bytes: &[u8]) -> String {
    let start = bytes.get(..MOST_BYTES).unwrap_or(bytes);
    shortened(&String::from_utf8_lossy(start))
}

/// At most 200 characters of what `value` prints, which is stopped there.
pub(crate) fn shortened_display(value: impl fmt::Display) -> String {
    let mut start = Start {
        text: String::new(),
        // One more tells that there is more.
        left: MOST.saturating_add(1),
    };
    // An error says that no more was wanted.
    let _ = write!(start, "{value}");
    shortened(&start.text)
}

/// Takes so many characters and then refuses.
struct Start {
    text: String,
    left: usize,
}

impl Write for Start {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.left == 0 {
            return Err(fmt::Error);
        }
        let end = text.char_indices().nth(self.left).map(|(end, _)| end);
        let taken = end.and_then(|end| text.get(..end)).unwrap_or(text);
        self.left = self.left.saturating_sub(taken.chars().count());
        self.text.push_str(taken);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_are_shortened_on_a_character_boundary() {
        let name = "é".repeat(500);
        assert_eq!(shortened(&name).chars().count(), 201);
    }

    #[test]
    fn what_is_cut_before_and_after_it_is_printed_is_the_same() {
        let counts: &[usize] = match cfg!(miri) {
            true => &[1, 201],
            false => &[0, 1, 99, 100, 198, 199, 200, 201, 202, 1_000],
        };
        for letter in ["a", "é", "語", "😀", "\n", "\"", "\u{7f}"] {
            for &count in counts {
                let text = letter.repeat(count);
                assert_eq!(shortened_display(&text), shortened(&text));
                let quoted = format!("{text:?}");
                assert_eq!(
                    shortened_display(format_args!("{text:?}")),
                    shortened(&quoted)
                );
                assert_eq!(shortened_bytes(text.as_bytes()), shortened(&text));
            }
        }
        let broken = b"a\xff\xf0\x9f\x98".repeat(300);
        assert_eq!(
            shortened_bytes(&broken),
            shortened(&String::from_utf8_lossy(&broken))
        );
    }

    #[test]
    fn what_prints_is_stopped_soon_after_enough() {
        struct Endless(std::cell::Cell<usize>);

        impl fmt::Display for Endless {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                loop {
                    self.0.set(self.0.get() + 1);
                    formatter.write_str("ab")?;
                }
            }
        }
        let endless = Endless(std::cell::Cell::new(0));
        assert_eq!(shortened_display(&endless).chars().count(), 201);
        assert_eq!(endless.0.get(), 102);
    }
}

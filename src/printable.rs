//! Makes foreign text safe for a log line and for an operator's terminal.

/// `text` with control characters and invisible formatting characters written as escapes, cut to
/// `limit` characters; what was cut ends in `…`.
///
/// So no text of a stranger can start a new log line, colour a terminal or change the reading direction.
/// Applied to its own result, it changes nothing.
pub fn printable(text: &str, limit: usize) -> String {
    let mut written = String::with_capacity(text.len().min(limit * 4));
    let mut count = 0;
    for c in text.chars() {
        let before = written.len();
        if is_unprintable(c) {
            written.extend(c.escape_unicode());
        } else {
            written.push(c);
        }
        count += written[before..].chars().count();
        if count > limit {
            break;
        }
    }
    if count > limit {
        let keep = written
            .char_indices()
            .nth(limit.saturating_sub(1))
            .map_or(written.len(), |(at, _)| at);
        written.truncate(keep);
        written.push('…');
    }
    written
}

fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{feff}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_it_can_move_a_cursor() {
        assert_eq!(
            printable("no\r\nentry \u{1b}[31m", 50),
            r"no\u{d}\u{a}entry \u{1b}[31m"
        );
        assert_eq!(printable("abc\u{202e}def", 50), r"abc\u{202e}def");
        assert_eq!(
            printable("Zugriff verweigert: größer", 50),
            "Zugriff verweigert: größer"
        );
    }

    #[test]
    fn it_is_never_longer_than_the_limit() {
        assert_eq!(printable("abcdef", 6), "abcdef");
        assert_eq!(printable("abcdefg", 6), "abcde…");
        assert_eq!(printable("\n\n\n", 6).chars().count(), 6);
    }

    #[test]
    fn a_second_time_changes_nothing() {
        for text in ["plain", "a\nb", "\u{1}\u{2}\u{3}\u{4}", "überlang und mehr"] {
            let once = printable(text, 10);
            assert_eq!(printable(&once, 10), once);
        }
    }
}

//! A line of a script: words, split and quoted as in a shell.

/// Splits a line into words. Quotes and backslashes protect spaces and `#`; nothing is expanded.
pub(super) fn words(line: &[u8]) -> Result<Vec<Vec<u8>>, &'static str> {
    let mut words = Vec::with_capacity(4);
    let mut rest = line;
    loop {
        let blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r');
        let start = rest.iter().position(|byte| !blank(byte));
        rest = &rest[start.unwrap_or(rest.len())..];
        match rest.first() {
            None | Some(b'#') => return Ok(words),
            Some(_) => words.push(word(&mut rest)?),
        }
    }
}

/// Takes the word that a rest begins with.
fn word(rest: &mut &[u8]) -> Result<Vec<u8>, &'static str> {
    let mut word = Vec::new();
    loop {
        let special = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\'' | b'"' | b'\\');
        let plain = rest.iter().position(special).unwrap_or(rest.len());
        let (before, after) = rest.split_at(plain);
        word.extend_from_slice(before);
        *rest = match after {
            [b'\'', quoted @ ..] => single_quoted(quoted, &mut word)?,
            [b'"', quoted @ ..] => double_quoted(quoted, &mut word)?,
            [b'\\', byte, after @ ..] => {
                word.push(*byte);
                after
            }
            [b'\\'] => return Err("a backslash stands at the line's end"),
            _ => {
                *rest = after;
                return Ok(word);
            }
        };
    }
}

/// Adds what stands up to a single quote to a word, and returns what follows that.
fn single_quoted<'a>(quoted: &'a [u8], word: &mut Vec<u8>) -> Result<&'a [u8], &'static str> {
    let end = quoted.iter().position(|byte| *byte == b'\'');
    let end = end.ok_or("a single quote is not closed")?;
    word.extend_from_slice(&quoted[..end]);
    Ok(&quoted[end + 1..])
}

/// Adds what stands up to a double quote to a word, and returns what follows that.
fn double_quoted<'a>(quoted: &'a [u8], word: &mut Vec<u8>) -> Result<&'a [u8], &'static str> {
    let mut rest = quoted;
    loop {
        match rest {
            [b'"', after @ ..] => return Ok(after),
            [b'\\', byte @ (b'"' | b'\\' | b'$' | b'`'), after @ ..] => {
                word.push(*byte);
                rest = after;
            }
            [b'\\'] | [] => return Err("a double quote is not closed"),
            [byte, after @ ..] => {
                word.push(*byte);
                rest = after;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(line: &str) -> Vec<String> {
        words(line.as_bytes())
            .unwrap()
            .into_iter()
            .map(|word| String::from_utf8(word).unwrap())
            .collect()
    }

    #[test]
    fn words_are_those_of_a_shell() {
        assert_eq!(split("  rm -r\t/a  # all"), ["rm", "-r", "/a"]);
        assert_eq!(
            split(r#"put 'a b' "c \"d\" \n" e\ f#g"#),
            ["put", "a b", "c \"d\" \\n", "e f#g"]
        );
        assert_eq!(split("set-label ''"), ["set-label", ""]);
        assert_eq!(split("a'b'\"c\""), ["abc"]);
        assert!(split("# nothing").is_empty() && split("").is_empty());
    }

    #[test]
    fn open_quotes_are_refused() {
        for line in ["'a", "\"a", "a\\", "\"a\\"] {
            assert!(words(line.as_bytes()).is_err(), "{line}");
        }
    }
}

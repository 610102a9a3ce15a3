//! A line of a script: words, split and quoted as in a shell.

/// Splits a line into words. Quotes and backslashes protect spaces and `#`; nothing is expanded.
pub(super) fn words(line: &[u8]) -> Result<Vec<Vec<u8>>, &'static str> {
    let mut words = Vec::new();
    let mut word: Option<Vec<u8>> = None;
    let mut bytes = line.iter().copied();
    while let Some(byte) = bytes.next() {
        match byte {
            b' ' | b'\t' | b'\r' => words.extend(word.take()),
            b'#' if word.is_none() => return Ok(words),
            b'\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match bytes.next() {
                        Some(b'\'') => break,
                        Some(byte) => word.push(byte),
                        None => return Err("a single quote is not closed"),
                    }
                }
            }
            b'"' => {
                let word = word.get_or_insert_default();
                loop {
                    match bytes.next() {
                        Some(b'"') => break,
                        Some(b'\\') => match bytes.next() {
                            Some(byte @ (b'"' | b'\\' | b'$' | b'`')) => word.push(byte),
                            Some(byte) => word.extend([b'\\', byte]),
                            None => return Err("a double quote is not closed"),
                        },
                        Some(byte) => word.push(byte),
                        None => return Err("a double quote is not closed"),
                    }
                }
            }
            b'\\' => match bytes.next() {
                Some(byte) => word.get_or_insert_default().push(byte),
                None => return Err("a backslash stands at the line's end"),
            },
            byte => word.get_or_insert_default().push(byte),
        }
    }
    words.extend(word);
    Ok(words)
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

//! Small XML documents.

use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

/// How deep elements may stand in each other.
const MAX_DEPTH: usize = 32;

/// What is wrong with a document.
#[derive(Debug, thiserror::Error)]
#[error("the XML is malformed near byte {at}: {reason}")]
pub struct XmlError {
    /// Where, in bytes.
    pub at: u64,
    /// In words.
    pub reason: String,
}

/// An element that has been read.
#[derive(Debug)]
pub(crate) struct Element {
    /// The name, without its prefix.
    pub(crate) name: String,
    /// Names, without their prefixes, and values.
    attributes: Vec<(String, String)>,
    /// The text that stands in it, without what surrounds it.
    pub(crate) text: String,
}

impl Element {
    /// Returns the value of an attribute.
    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        let mut attributes = self.attributes.iter();
        let found = attributes.find(|(given, _)| given == name)?;
        Some(&found.1)
    }

    fn begin(start: &BytesStart<'_>) -> Result<Self, String> {
        let mut attributes = Vec::new();
        for attribute in start.attributes() {
            let attribute = attribute.map_err(|error| error.to_string())?;
            let value = attribute
                .normalized_value(XmlVersion::Implicit1_0)
                .map_err(|error| error.to_string())?;
            let name = attribute.key.local_name();
            attributes.push((name.as_ref().to_owned(), value.into_owned()));
        }
        Ok(Self {
            name: start.local_name().as_ref().to_owned(),
            attributes,
            text: String::new(),
        })
    }
}

/// Calls `take` with every element, after those that stand in it. Entities beside the five of XML and
/// document types are refused.
///
/// # Errors
/// What is malformed, and what `take` says.
pub(crate) fn each_element<E: From<XmlError>>(
    document: &str,
    mut take: impl FnMut(&Element) -> Result<(), E>,
) -> Result<(), E> {
    let mut reader = Reader::from_str(document);
    let mut open: Vec<Element> = Vec::new();
    loop {
        let event = reader.read_event();
        let at = reader.buffer_position();
        let wrong = |reason: String| E::from(XmlError { at, reason });
        match event.map_err(|error| wrong(error.to_string()))? {
            Event::Start(_) if open.len() >= MAX_DEPTH => {
                return Err(wrong("elements stand too deep in each other".to_owned()));
            }
            Event::Start(start) => open.push(Element::begin(&start).map_err(wrong)?),
            Event::Empty(start) => take(&Element::begin(&start).map_err(wrong)?)?,
            Event::End(_) => {
                if let Some(mut element) = open.pop() {
                    element.text = element.text.trim().to_owned();
                    take(&element)?;
                }
            }
            Event::Text(text) => {
                if let Some(element) = open.last_mut() {
                    element.text.push_str(&text.xml10_content());
                }
            }
            Event::CData(text) => {
                if let Some(element) = open.last_mut() {
                    element.text.push_str(&text.xml10_content());
                }
            }
            Event::GeneralRef(reference) => {
                let name = reference.xml10_content();
                let text = quick_xml::escape::unescape(&format!("&{name};"))
                    .map_err(|error| wrong(error.to_string()))?
                    .into_owned();
                if let Some(element) = open.last_mut() {
                    element.text.push_str(&text);
                }
            }
            Event::DocType(_) => return Err(wrong("it has a document type".to_owned())),
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
            Event::Eof if open.is_empty() => return Ok(()),
            Event::Eof => return Err(wrong("it ends early".to_owned())),
        }
    }
}

/// Writes text as it stands in an element or an attribute.
pub(crate) fn escaped(text: &str) -> std::borrow::Cow<'_, str> {
    quick_xml::escape::escape(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(document: &str) -> Result<Vec<String>, XmlError> {
        let mut names = Vec::new();
        each_element(document, |element| {
            let value = element.attribute("v").unwrap_or("-");
            names.push(format!("{} {value} {}", element.name, element.text));
            Ok::<(), XmlError>(())
        })?;
        Ok(names)
    }

    #[test]
    fn elements_come_with_their_attributes_and_their_text() {
        let document = "<?xml version=\"1.0\"?><!-- c --><a x:v='1 &lt; 2'> t &amp; u \
                        <x:b v=\"\"/><c>&#65;<![CDATA[<d>]]></c></a>";
        let expected = ["b  ", "c - A<d>", "a 1 < 2 t & u"];
        assert_eq!(names(document).unwrap(), expected);
    }

    #[test]
    fn what_is_malformed_or_dangerous_is_refused() {
        for document in [
            "<a>",
            "<a></b>",
            "</a>",
            "<a v=1/>",
            "<a v='1' v='2'/>",
            "<a>&b;</a>",
            "<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>",
            &"<a>".repeat(100),
        ] {
            assert!(names(document).is_err(), "{document}");
        }
    }

    #[test]
    fn what_is_escaped_comes_back() {
        let text = "a<b>&\"c'";
        let document = format!("<a v=\"{}\"/>", escaped(text));
        assert_eq!(names(&document).unwrap(), [format!("a {text} ")]);
    }
}

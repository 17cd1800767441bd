//! An XML document whose top-level elements can be read, taken out and put in, while every other byte stays as it was.

use std::ops::Range;

use quick_xml::Reader;
use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::{BytesStart, Event};

/// Deeper than any configuration of S3.
const DEEPEST: usize = 16;
const EMPTY: &str =
    "<NotificationConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"></NotificationConfiguration>";

/// An element without its namespace and attributes, of which S3's documents have none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct XmlNode {
    pub name: String,
    pub text: String,
    pub children: Vec<XmlNode>,
}

#[derive(Clone, Debug)]
pub struct RawDocument {
    pub text: String,
    /// `ns:` where the root has one: what is put in has it too.
    pub namespace: String,
    /// Between the root's two tags.
    pub inside: Range<usize>,
    /// What stands there, and where.
    pub elements: Vec<(Range<usize>, XmlNode)>,
}

impl XmlNode {
    pub fn child(&self, name: &str) -> Option<&XmlNode> {
        self.children.iter().find(|child| child.name == name)
    }

    /// What it says, whichever way it is written: order, blanks between elements and empty elements in it mean nothing,
    /// and some elements have two names.
    pub fn canonical(&self) -> String {
        format!("{}:{}", self.name.replace("LambdaFunction", "CloudFunction"), self.canonical_text())
    }

    fn canonical_text(&self) -> String {
        let name = match self.name.as_str() {
            "LambdaFunctionConfiguration" => "CloudFunctionConfiguration",
            "LambdaFunctionArn" | "Function" => "CloudFunction",
            name => name,
        };
        if self.children.is_empty() {
            // The two names of filter rules are reported in either case.
            let text = if name == "Name" { self.text.to_lowercase() } else { self.text.clone() };
            return if text.is_empty() { String::new() } else { format!("{name}={text:?};") };
        }
        let mut children: Vec<String> = self.children.iter().map(XmlNode::canonical_text).collect();
        children.sort_unstable();
        match children.concat() {
            text if text.is_empty() => text,
            text => format!("{name}({text})"),
        }
    }
}

impl RawDocument {
    pub fn read(text: &str) -> Result<RawDocument, String> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let text = if text.trim().is_empty() { EMPTY } else { text };
        let mut reader = Reader::from_str(text);
        let mut open: Vec<(usize, XmlNode)> = Vec::new();
        let (mut namespace, mut inside, mut elements) = (String::new(), 0..0, Vec::new());
        let mut ended = false;
        loop {
            let start = position(&reader);
            let event = reader.read_event().map_err(|error| format!("is not XML at byte {start}: {error}"))?;
            let end = position(&reader);
            let closed = match event {
                Event::Start(_) | Event::Empty(_) if ended => return Err("has two roots".into()),
                Event::Empty(tag) if open.is_empty() => return RawDocument::read(&opened(text, &tag, start..end)),
                Event::Start(_) if open.len() == DEEPEST => return Err(format!("is nested deeper than {DEEPEST}")),
                Event::Start(tag) => {
                    if open.is_empty() {
                        namespace = tag.name().prefix().map_or(String::new(), |p| format!("{}:", p.into_inner()));
                        inside = end..end;
                    }
                    open.push((start, node(&tag)));
                    None
                }
                Event::Empty(tag) => Some((start, node(&tag))),
                Event::End(_) => open.pop(),
                Event::DocType(_) => return Err("has a document type".into()),
                Event::Eof if ended => break,
                Event::Eof => return Err("ends too early".into()),
                other => {
                    if let Some((_, node)) = open.last_mut() {
                        node.text.push_str(&event_text(&other)?);
                    }
                    None
                }
            };
            let Some((from, node)) = closed else { continue };
            match &mut open[..] {
                [] if node.name != "NotificationConfiguration" => {
                    return Err(format!("is a {}, not a NotificationConfiguration", node.name));
                }
                [] => (inside.end, ended) = (start, true),
                [_] => elements.push((from..end, node)),
                [.., (_, parent)] => parent.children.push(node),
            }
        }
        Ok(RawDocument { text: text.to_owned(), namespace, inside, elements })
    }
}

fn position(reader: &Reader<&[u8]>) -> usize {
    usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX)
}

/// The same document with two tags for its empty root.
fn opened(text: &str, tag: &BytesStart<'_>, at: Range<usize>) -> String {
    let (before, after) = (&text[..at.start], &text[at.end..]);
    format!("{before}<{}></{}>{after}", tag.trim_end(), tag.name().into_inner())
}

fn node(tag: &BytesStart<'_>) -> XmlNode {
    XmlNode { name: tag.local_name().into_inner().to_owned(), ..XmlNode::default() }
}

fn event_text(event: &Event<'_>) -> Result<String, String> {
    Ok(match event {
        Event::Text(text) => text.xml10_content().into_owned(),
        Event::CData(text) => text.xml10_content().into_owned(),
        Event::GeneralRef(reference) => match reference.resolve_char_ref().map_err(|error| error.to_string())? {
            Some(character) => character.into(),
            None => resolve_xml_entity(reference).ok_or_else(|| format!("has an entity &{};", &**reference))?.into(),
        },
        _ => String::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_found_where_they_stand() {
        let text = "<?xml version=\"1.0\"?>\n<n:NotificationConfiguration xmlns:n='x'>\n  <n:A a='1'><n:B>x &amp; &#121;</n:B></n:A> \
                    <!-- c --><n:E/></n:NotificationConfiguration>\n";
        let document = RawDocument::read(text).unwrap();
        let found: Vec<&str> = document.elements.iter().map(|(at, _)| &text[at.clone()]).collect();
        assert_eq!(found, ["<n:A a='1'><n:B>x &amp; &#121;</n:B></n:A>", "<n:E/>"]);
        assert_eq!(document.elements[0].1.child("B").unwrap().text, "x & y");
        assert_eq!(document.namespace, "n:");
        assert!(text[document.inside.clone()].starts_with("\n  <n:A") && text[document.inside].ends_with("<n:E/>"));
    }

    #[test]
    fn an_empty_root_and_no_text_at_all_are_a_document_with_room() {
        for text in [
            "",
            " \n",
            "\u{feff}<NotificationConfiguration />",
            "<NotificationConfiguration></NotificationConfiguration>",
        ] {
            let document = RawDocument::read(text).unwrap();
            assert!(document.elements.is_empty() && document.inside.is_empty(), "{text}");
            assert!(document.text[document.inside.end..].starts_with("</NotificationConfiguration>"), "{text}");
        }
    }

    #[test]
    fn what_is_no_such_document_is_refused() {
        let deep = format!("<NotificationConfiguration>{}", "<a>".repeat(1000));
        for wrong in [
            "text",
            "<a/>",
            "<a></a>",
            "<NotificationConfiguration>",
            "<NotificationConfiguration><a></b></NotificationConfiguration>",
            "<!DOCTYPE x><NotificationConfiguration/>",
            "<NotificationConfiguration><a>&x;</a></NotificationConfiguration>",
            "<NotificationConfiguration/><NotificationConfiguration/>",
            &deep,
        ] {
            assert!(RawDocument::read(wrong).is_err(), "{wrong:.80}");
        }
    }

    #[test]
    fn the_same_in_another_order_and_spelling_is_the_same() {
        let canonical = |text: &str| {
            let text = format!("<NotificationConfiguration>{text}</NotificationConfiguration>");
            RawDocument::read(&text).unwrap().elements[0].1.canonical()
        };
        let one = "<LambdaFunctionConfiguration><Id>i</Id><LambdaFunctionArn>f</LambdaFunctionArn><Event>a</Event>\
                   <Filter><S3Key><FilterRule><Name>Prefix</Name><Value> p</Value></FilterRule></S3Key></Filter>\
                   </LambdaFunctionConfiguration>";
        let other = "<CloudFunctionConfiguration>\n <Event>a</Event><CloudFunction>f</CloudFunction><Id>i</Id><Filter><S3Key>\
                     <FilterRule><Value> p</Value><Name>prefix</Name></FilterRule></S3Key></Filter>\
                     </CloudFunctionConfiguration>";
        assert_eq!(canonical(one), canonical(other));
        assert_ne!(canonical(one), canonical(&other.replace("> p<", ">p<")), "a blank in a key is a byte of it");
        assert_eq!(canonical("<A><Id>i</Id><Filter/></A>"), canonical("<A><Id>i</Id></A>"));
    }
}

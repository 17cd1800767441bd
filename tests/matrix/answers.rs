//! The odd answers, one line each: all of them have been seen of real services, gateways and load balancers.

use std::time::Duration;

use sandbox::{Fault, Reply};

/// What an answer is to be taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Means {
    /// Nothing that can be acted on: tried again for as long as it lasts.
    Outage,
    /// The service's own word against this object: it may be parked with it.
    Refusal,
    /// All that is needed is there, or can be found out: no harm.
    Odd,
}

/// One odd answer.
pub struct Answer {
    pub name: &'static str,
    pub fault: fn() -> Vec<Fault>,
    pub means: Means,
    /// One of these stands in the log when the answer repeats.
    pub words: &'static [&'static str],
    pub fits: Fits,
}

/// To which requests an answer can come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fits {
    All,
    /// Those that are answered with a body, so not HEAD.
    Body,
    /// Those that are answered with a document.
    Document,
    /// Those that are answered with bytes of an object.
    Bytes,
    Range,
    /// Those that are answered with an ETag.
    ETag,
    Listing,
}

pub const HTML: &str = "<!DOCTYPE html><html><head><title>Sorry</title></head><body><h1>Sorry</h1></body></html>";
const JSON: &str = r#"{"error":{"message":"no route","status":"UNKNOWN"}}"#;
const OTHER: &str =
    r#"<?xml version="1.0" encoding="UTF-8"?><LocationConstraint xmlns="http://s3.amazonaws.com/doc/2006-03-01/"/>"#;
const DAY: &str = "86400";
const DATE: &str = "Fri, 31 Dec 2049 23:59:59 GMT";

fn error(code: &str) -> String {
    format!("<?xml version='1.0' encoding='UTF-8'?><Error><Code>{code}</Code><Message>as scripted</Message></Error>")
}

fn reply(status: u16, kind: &str, body: impl Into<String>) -> Reply {
    Reply { status, headers: vec![("content-type", kind.to_owned())], body: body.into() }
}

fn xml(status: u16, code: &str) -> Vec<Fault> {
    vec![Fault::Instead(reply(status, "application/xml", error(code)))]
}

fn html(status: u16) -> Vec<Fault> {
    vec![Fault::Instead(reply(status, "text/html", HTML))]
}

fn json(status: u16) -> Vec<Fault> {
    vec![Fault::Instead(reply(status, "application/json", JSON))]
}

fn nothing(status: u16) -> Vec<Fault> {
    vec![Fault::Instead(Reply { status, ..Reply::default() })]
}

fn later(status: u16, code: &str, when: &str) -> Vec<Fault> {
    let mut reply = reply(status, "application/xml", error(code));
    reply.headers.push(("retry-after", when.to_owned()));
    vec![Fault::Instead(reply)]
}

fn moved(status: u16) -> Vec<Fault> {
    let mut reply = reply(status, "text/html", HTML);
    reply.headers.push(("location", "https://example.invalid/".to_owned()));
    vec![Fault::Instead(reply)]
}

/// The work is done, and the answer is another.
fn done(status: u16, body: &str) -> Vec<Fault> {
    vec![Fault::After(reply(status, "application/xml", body))]
}

fn large() -> Vec<Fault> {
    vec![Fault::Instead(reply(200, "text/html", HTML.repeat(6_000)))]
}

fn half(text: &str) -> String {
    let middle = (0..=text.len() / 2).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    text[..middle].to_owned()
}

fn without_etag(text: &str) -> String {
    let Some((before, rest)) = text.split_once("<ETag>") else { return text.to_owned() };
    let after = rest.split_once("</ETag>").map_or("", |(_, after)| after);
    format!("{before}<ETag></ETag>{after}")
}

fn same_token_again(text: &str) -> String {
    let more = "<IsTruncated>true</IsTruncated><NextContinuationToken>again</NextContinuationToken><NextMarker>again</NextMarker>";
    text.replacen("<IsTruncated>false</IsTruncated>", more, 1)
}

const fn row(
    name: &'static str,
    means: Means,
    fits: Fits,
    words: &'static [&'static str],
    fault: fn() -> Vec<Fault>,
) -> Answer {
    Answer { name, fault, means, words, fits }
}

use Fits::{All, Body, Bytes, Document, ETag, Listing, Range};
use Means::{Odd, Outage, Refusal};

#[rustfmt::skip]
pub const ANSWERS: &[Answer] = &[
    row("500 InternalError",          Outage,  All,      &["500"],  || xml(500, "InternalError")),
    row("500 with HTML",              Outage,  Body,     &["500"],  || html(500)),
    row("500 with nothing",           Outage,  All,      &["500"],  || nothing(500)),
    row("502 with HTML",              Outage,  Body,     &["502"],  || html(502)),
    row("503 SlowDown",               Outage,  All,      &["503"],  || xml(503, "SlowDown")),
    row("503 with HTML",              Outage,  Body,     &["503"],  || html(503)),
    row("503, Retry-After a day",     Outage,  All,      &["503"],  || later(503, "SlowDown", DAY)),
    row("503, Retry-After a date",    Outage,  All,      &["503"],  || later(503, "SlowDown", DATE)),
    row("504 with nothing",           Outage,  All,      &["504"],  || nothing(504)),
    row("429 TooManyRequests",        Outage,  All,      &["429"],  || xml(429, "TooManyRequests")),
    row("403 AccessDenied",           Refusal, All,      &["403"],  || xml(403, "AccessDenied")),
    row("403 with HTML",              Outage,  Body,     &["403"],  || html(403)),
    row("403 with nothing",           Outage,  All,      &["403"],  || nothing(403)),
    row("403 SignatureDoesNotMatch",  Outage,  Body,     &["403"],  || xml(403, "SignatureDoesNotMatch")),
    row("404 with HTML",              Outage,  Body,     &["404", "not found"], || html(404)),
    row("404 with JSON",              Outage,  Body,     &["404", "not found"], || json(404)),
    row("404 with nothing",           Outage,  All,      &["404", "not found"], || nothing(404)),
    row("404 NoSuchKey",              Refusal, All,      &["404", "NoSuchKey", "not found", "not there", "gone"], || xml(404, "NoSuchKey")),
    row("404 NoSuchBucket",           Outage,  Body,     &["404", "NoSuchBucket", "no such bucket"], || xml(404, "NoSuchBucket")),
    row("404 NoSuchUpload",           Outage,  Body,     &["404", "NoSuchUpload", "upload"], || xml(404, "NoSuchUpload")),
    row("400 InvalidRequest",         Refusal, Body,     &["400"],  || xml(400, "InvalidRequest")),
    row("400 of an unknown code",     Refusal, Body,     &["400"],  || xml(400, "XMinioObjectExistsAsDirectory")),
    row("400 with HTML",              Outage,  Body,     &["400"],  || html(400)),
    row("400 with JSON",              Outage,  Body,     &["400"],  || json(400)),
    row("400 with nothing",           Outage,  All,      &["400"],  || nothing(400)),
    row("409 OperationAborted",       Refusal, Body,     &["409"],  || xml(409, "OperationAborted")),
    row("409 ObjectUnderRetention",   Refusal, Body,     &["409"],  || xml(409, "ObjectUnderRetention")),
    row("409 with HTML",              Outage,  Body,     &["409"],  || html(409)),
    row("412 PreconditionFailed",     Refusal, Body,     &["412", "PreconditionFailed"],  || xml(412, "PreconditionFailed")),
    row("412 with nothing",           Outage,  All,      &["412"],  || nothing(412)),
    row("413 EntityTooLarge",         Refusal, Body,     &["413"],  || xml(413, "EntityTooLarge")),
    row("451 with HTML",              Outage,  Body,     &["451"],  || html(451)),
    row("501 NotImplemented",         Refusal, Body,     &["501"],  || xml(501, "NotImplemented")),
    row("301 to somewhere",           Outage,  All,      &["301"],  || moved(301)),
    row("302 to somewhere",           Outage,  Body,     &["302"],  || moved(302)),
    row("304 with nothing",           Outage,  All,      &["304"],  || nothing(304)),
    row("200 with SlowDown",          Outage,  Document, &["SlowDown", "200"], || xml(200, "SlowDown")),
    row("200 with InternalError",     Outage,  Document, &["InternalError", "200"], || xml(200, "InternalError")),
    row("200 with HTML",              Outage,  Document, &["200", "understood"], || html(200)),
    row("200 with nothing",           Outage,  Document, &["200", "understood"], || nothing(200)),
    row("200 with another document",  Outage,  Document, &["200", "understood"], || vec![Fault::Instead(reply(200, "application/xml", OTHER))]),
    row("200 with half a document",   Outage,  Document, &["200", "understood"], || vec![Fault::Rewrite(half)]),
    row("200 with a page of 600 KB",  Outage,  Document, &["200", "understood"], large),
    row("204 with nothing",           Outage,  Document, &["204", "understood"], || nothing(204)),
    row("done, 500 InternalError",    Odd,     All,      &["500"],  || done(500, &error("InternalError"))),
    row("done, 503 with nothing",     Odd,     All,      &["503"],  || done(503, "")),
    row("done, 404 with nothing",     Odd,     All,      &["404", "not found"], || done(404, "")),
    row("done, 200 with nothing",     Odd,     Document, &["200", "understood"], || done(200, "")),
    row("done, 200 with HTML",        Odd,     Document, &["200", "understood"], || done(200, HTML)),
    row("done, another document",     Odd,     Document, &["200", "understood"], || done(200, OTHER)),
    row("closed before the work",     Outage,  All,      &["connection", "unavailable", "lost"], || vec![Fault::NoEffect]),
    row("closed after the work",      Odd,     All,      &["connection", "unavailable", "lost"], || vec![Fault::LostAnswer]),
    row("cut in the body",            Outage,  Bytes,    &["interrupted", "early", "unavailable"], || vec![Fault::CutResponse(9)]),
    row("cut in the document",        Odd,     Document, &["interrupted", "early", "unavailable", "lost", "understood"], || vec![Fault::CutResponse(30)]),
    row("ten minutes of silence",     Outage,  All,      &["nothing moved", "progress", "lost"], || vec![Fault::Stall(Duration::from_secs(600))]),
    row("no ETag",                    Odd,     ETag,     &[],       || vec![Fault::WithoutHeader("etag"), Fault::Rewrite(|text| text.replace("ETag", "Etag"))]),
    row("an empty ETag",              Odd,     ETag,     &[],       || vec![Fault::Header("etag", String::new()), Fault::Rewrite(without_etag)]),
    row("another ETag",               Odd,     ETag,     &[],       || vec![Fault::Header("etag", "\"0123456789abcdef0123456789abcdef\"".into())]),
    row("no Content-Length",          Odd,     Body,     &[],       || vec![Fault::WithoutHeader("content-length")]),
    row("the whole for a range",      Outage,  Range,    &[],       || vec![Fault::WithoutRequestHeader("range")]),
    row("a wrong Content-Range",      Outage,  Range,    &[],       || vec![Fault::Header("content-range", "bytes 7-19/20".into())]),
    row("the same token again",       Outage,  Listing,  &[],       || vec![Fault::Rewrite(same_token_again)]),
];

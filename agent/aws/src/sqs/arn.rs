//! What queues' URLs and ARNs say: region, account, name.

/// `arn:aws:sqs:us-west-2:123456789012:name`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arn<'a> {
    /// `aws`, or `aws-cn`.
    pub partition: &'a str,
    pub region: &'a str,
    pub account: &'a str,
    pub name: &'a str,
}

impl<'a> Arn<'a> {
    pub fn parse(text: &'a str) -> Option<Arn<'a>> {
        let fields: Vec<&str> = text.splitn(6, ':').collect();
        let &["arn", partition, "sqs", region, account, name] = &fields[..] else { return None };
        (!account.is_empty() && !name.is_empty() && !name.contains('/')).then_some(Arn {
            partition,
            region,
            account,
            name,
        })
    }

    /// Its URL, at this endpoint or at its region's own. This too needs no question.
    pub fn url(&self, endpoint: Option<&str>) -> String {
        let suffix = if self.partition == "aws-cn" { ".cn" } else { "" };
        let host = endpoint.map_or_else(|| format!("https://sqs.{}.amazonaws.com{suffix}", self.region), str::to_owned);
        format!("{host}/{}/{}", self.account, self.name)
    }

    /// Its URL, as that of the queue beside it is written. SQS has a queue and its dead letters in one region and one
    /// account, so this needs no question and no permission to ask it.
    pub fn url_beside(&self, url: &str) -> String {
        let start = url.find("://").map_or(0, |at| at + 3);
        let host = url[start..].find('/').map_or(url.len(), |at| start + at);
        format!("{}/{}/{}", &url[..host], self.account, self.name)
    }
}

/// The region in a queue's URL, where it is one of Amazon's.
pub fn region(url: &str) -> Option<String> {
    let host = host(url)?;
    let (region, rest) = host.strip_prefix("sqs.").or_else(|| host.strip_prefix("sqs-fips."))?.split_once('.')?;
    rest.starts_with("amazonaws.com").then(|| region.to_owned())
}

/// Where a queue's URL leads, unless to Amazon.
pub(super) fn own_endpoint(url: &str) -> Option<String> {
    let host = host(url)?;
    let amazon = host.ends_with(".amazonaws.com") || host.ends_with(".amazonaws.com.cn");
    let end = url.find("://")? + 3 + host.len();
    (!amazon).then(|| url[..end].to_owned())
}

fn host(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    rest.split(['/', '?']).next().filter(|host| !host.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_names_the_queue_beside() {
        let arn = Arn::parse("arn:aws-cn:sqs:cn-north-1:123456789012:dead").unwrap();
        let url = arn.url_beside("https://sqs.cn-north-1.amazonaws.com.cn/123456789012/list");
        assert_eq!(url, "https://sqs.cn-north-1.amazonaws.com.cn/123456789012/dead");
        assert_eq!(arn.url_beside("http://127.0.0.1:4566/1/q"), "http://127.0.0.1:4566/123456789012/dead");
        assert_eq!(arn.url(None), "https://sqs.cn-north-1.amazonaws.com.cn/123456789012/dead");
        assert_eq!(arn.url(Some("http://127.0.0.1:1")), "http://127.0.0.1:1/123456789012/dead");
        for wrong in ["", "dead", "arn:aws:sns:r:1:t", "arn:aws:sqs:r:1:", "arn:aws:sqs:r::q", "arn:aws:sqs:r:1:a/b"] {
            assert_eq!(Arn::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_url_tells_its_region_or_that_it_is_nobody_elses() {
        let amazon = "https://sqs.us-west-2.amazonaws.com/123456789012/list";
        assert_eq!((region(amazon).as_deref(), own_endpoint(amazon)), (Some("us-west-2"), None));
        let china = "https://sqs.cn-north-1.amazonaws.com.cn/123456789012/list";
        assert_eq!((region(china).as_deref(), own_endpoint(china)), (Some("cn-north-1"), None));
        let own = "http://127.0.0.1:4566/000000000000/list";
        assert_eq!((region(own), own_endpoint(own).as_deref()), (None, Some("http://127.0.0.1:4566")));
    }
}

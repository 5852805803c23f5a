//! The names of fields: those that rules use, and the names under which events may carry them.

use hashbrown::HashMap;

/// A field that some rule or mapping reads.
pub(super) type FieldId = u32;

/// Not a field: the text of the whole event, which keywords are looked for in.
pub(super) const WHOLE: FieldId = 0;

#[derive(Debug)]
pub(super) struct Fields {
    names: Vec<Box<str>>,
    ids: HashMap<Box<str>, FieldId>,
    /// What an event's own name fills.
    readers: HashMap<Box<str>, Vec<FieldId>>,
}

/// Names of the same thing in other schemas (Elastic Common Schema, winlogbeat, proxies, Zeek),
/// and the rules' name for it. Sigma's taxonomy: github.com/SigmaHQ/sigma-specification, appendix.
const ALIASES: &[(&str, &[&str])] = &[
    (
        "EventID",
        &["event_id", "EventId", "winlog.event_id", "event.code"],
    ),
    ("Channel", &["channel", "winlog.channel"]),
    (
        "Provider_Name",
        &["provider_name", "ProviderName", "winlog.provider_name"],
    ),
    (
        "Computer",
        &[
            "computer_name",
            "ComputerName",
            "Hostname",
            "winlog.computer_name",
        ],
    ),
    ("Image", &["process.executable"]),
    ("CommandLine", &["process.command_line"]),
    ("CurrentDirectory", &["process.working_directory"]),
    ("ParentImage", &["process.parent.executable"]),
    ("ParentCommandLine", &["process.parent.command_line"]),
    ("OriginalFileName", &["process.pe.original_file_name"]),
    ("ProcessId", &["process.pid"]),
    ("User", &["user.name"]),
    ("TargetFilename", &["file.path"]),
    ("TargetObject", &["registry.path"]),
    ("ImageLoaded", &["dll.path"]),
    ("QueryName", &["dns.question.name"]),
    ("DestinationIp", &["destination.ip"]),
    ("DestinationPort", &["destination.port"]),
    ("DestinationHostname", &["destination.domain"]),
    ("SourceIp", &["source.ip"]),
    ("SourcePort", &["source.port"]),
    (
        "src_ip",
        &[
            "source.ip",
            "id.orig_h",
            "srcip",
            "src",
            "client_ip",
            "c-ip",
            "request.remote_ip",
            "ClientHost",
        ],
    ),
    (
        "dst_ip",
        &["destination.ip", "id.resp_h", "dstip", "dst", "s-ip"],
    ),
    (
        "dst_port",
        &["destination.port", "id.resp_p", "dstport", "dpt"],
    ),
    ("src_port", &["source.port", "id.orig_p", "srcport", "spt"]),
    (
        "cs-method",
        &[
            "request.method",
            "RequestMethod",
            "http.request.method",
            "method",
            "request_method",
            "http_method",
            "verb",
        ],
    ),
    (
        "sc-status",
        &[
            "DownstreamStatus",
            "http.response.status_code",
            "status",
            "status_code",
            "response_code",
        ],
    ),
    (
        "c-uri",
        &[
            "request.uri",
            "RequestPath",
            "cs-uri",
            "url.original",
            "url",
            "uri",
            "request_uri",
            "url.full",
        ],
    ),
    (
        "cs-uri",
        &[
            "request.uri",
            "RequestPath",
            "c-uri",
            "url.original",
            "url",
            "uri",
            "request_uri",
        ],
    ),
    ("cs-uri-stem", &["url.path", "uri_path", "path"]),
    (
        "cs-uri-query",
        &[
            "request.uri",
            "RequestPath",
            "url.query",
            "uri_query",
            "query_string",
            "cs-uri",
            "c-uri",
            "url.original",
            "url",
            "uri",
            "request_uri",
        ],
    ),
    ("c-uri-query", &["url.query", "uri_query", "query_string"]),
    ("c-uri-extension", &["url.extension"]),
    (
        "cs-user-agent",
        &[
            "request.headers.User-Agent",
            "request_User-Agent",
            "c-useragent",
            "user_agent.original",
            "user_agent",
            "http_user_agent",
            "useragent",
        ],
    ),
    (
        "c-useragent",
        &[
            "request.headers.User-Agent",
            "request_User-Agent",
            "cs-user-agent",
            "user_agent.original",
            "user_agent",
            "http_user_agent",
            "useragent",
        ],
    ),
    (
        "cs-referer",
        &[
            "http.request.referrer",
            "referrer",
            "referer",
            "http_referer",
        ],
    ),
    (
        "cs-host",
        &["url.domain", "host_header", "http_host", "r-dns", "host"],
    ),
    ("cs-username", &["remote_user"]),
    ("query", &["dns.question.name", "qname", "query_name"]),
    ("record_type", &["dns.question.type", "qtype_name", "qtype"]),
    ("answer", &["dns.answers.data", "answers"]),
    ("gcp.audit.method_name", &["protoPayload.methodName"]),
    ("gcp.audit.service_name", &["protoPayload.serviceName"]),
];

impl Fields {
    pub(super) fn new() -> Self {
        let mut fields = Self {
            names: Vec::new(),
            ids: HashMap::new(),
            readers: HashMap::new(),
        };
        fields.intern("");
        fields
    }

    /// The number of a rule's field. Events' names lose their blanks ("Field Usage" in the rules
    /// specification), so a rule's do too.
    pub(super) fn intern(&mut self, name: &str) -> FieldId {
        let name = spaceless(name);
        if let Some(id) = self.ids.get(name.as_str()) {
            return *id;
        }
        let id = FieldId::try_from(self.names.len()).unwrap_or(FieldId::MAX);
        self.names.push(name.as_str().into());
        self.ids.insert(name.as_str().into(), id);
        if id != WHOLE {
            self.reader(&name, id);
        }
        id
    }

    /// Makes events that carry `name` fill `field` as well.
    fn reader(&mut self, name: &str, field: FieldId) {
        let readers = self.readers.entry(name.into()).or_default();
        if !readers.contains(&field) {
            readers.push(field);
        }
    }

    /// Once all rules are read: other schemas' names.
    pub(super) fn add_aliases(&mut self) {
        for (own, others) in ALIASES {
            let Some(id) = self.ids.get(*own).copied() else {
                continue;
            };
            others.iter().for_each(|other| self.reader(other, id));
        }
    }

    /// What an event's field of this name fills.
    pub(super) fn readers(&self, name: &str) -> &[FieldId] {
        self.readers.get(name).map_or(&[], Vec::as_slice)
    }

    #[cfg(test)]
    pub(super) fn get(&self, name: &str) -> Option<FieldId> {
        self.ids.get(name).copied()
    }

    pub(super) fn len(&self) -> usize {
        self.names.len()
    }
}

fn spaceless(name: &str) -> String {
    name.chars().filter(|c| !c.is_whitespace()).collect()
}

//! What Posse knows of log sources by itself: the types of sources, the shapes of JSON events, and
//! the channels and event numbers of Windows (as Sysmon's and Windows' own documentation have
//! them).

use serde_json::Value as Json;
use sigma::{Mapping, MappingEntry};

use super::sources::named;

type Names = (
    Option<&'static str>,
    Option<&'static str>,
    Option<&'static str>,
);

/// Sources of these types are such a log source, if one of the words stands in the line.
pub(super) struct Kind {
    pub(super) names: &'static [&'static str],
    /// Product, category, service.
    pub(super) source: Names,
    pub(super) words: &'static [&'static str],
}

const fn kind(names: &'static [&'static str], source: Names) -> Kind {
    Kind {
        names,
        source,
        words: &[],
    }
}

const fn syslog(source: Names, words: &'static [&'static str]) -> Kind {
    Kind {
        names: &["syslog"],
        source,
        words,
    }
}

const fn linux(service: &'static str) -> Names {
    (Some("linux"), None, Some(service))
}

const fn web(name: &'static str) -> Names {
    (Some(name), Some("webserver"), Some(name))
}

pub(super) const KINDS: &[Kind] = &[
    kind(&["nginx"], web("nginx")),
    kind(&["apache", "apache2", "httpd"], web("apache")),
    kind(&["caddy"], web("caddy")),
    kind(&["haproxy"], web("haproxy")),
    kind(&["iis"], web("iis")),
    kind(&["lighttpd"], web("lighttpd")),
    kind(&["traefik"], web("traefik")),
    kind(&["webserver"], (None, Some("webserver"), None)),
    kind(&["squid"], (Some("squid"), Some("proxy"), None)),
    kind(&["proxy"], (None, Some("proxy"), None)),
    kind(
        &["dns", "named", "bind", "unbound", "dnsmasq"],
        (None, Some("dns"), None),
    ),
    kind(&["firewall"], (None, Some("firewall"), None)),
    kind(&["auditd"], linux("auditd")),
    kind(&["syslog"], linux("syslog")),
    syslog(
        linux("auth"),
        &["sshd", "sudo", "su[", "su:", "login", "pam_"],
    ),
    syslog(linux("sshd"), &["sshd"]),
    syslog(linux("sudo"), &["sudo"]),
    syslog(linux("cron"), &["cron", "CRON"]),
    syslog(linux("clamav"), &["clamd", "clamav", "freshclam"]),
    syslog(linux("vsftpd"), &["vsftpd"]),
    syslog(linux("guacamole"), &["guacd", "guacamole"]),
    kind(&["vsftpd"], linux("vsftpd")),
    kind(&["clamav"], linux("clamav")),
    kind(&["linux"], (Some("linux"), None, None)),
    kind(
        &["windows", "eventlog", "winlog", "sysmon"],
        (Some("windows"), None, None),
    ),
    kind(
        &["cloudtrail", "aws"],
        (Some("aws"), None, Some("cloudtrail")),
    ),
    kind(
        &["kubernetes", "k8s-audit", "kubernetes-audit"],
        (Some("kubernetes"), Some("application"), Some("audit")),
    ),
    kind(&["okta"], (Some("okta"), None, Some("okta"))),
    kind(&["gcp"], (Some("gcp"), None, Some("gcp.audit"))),
    kind(&["github"], (Some("github"), None, Some("audit"))),
    kind(&["bitbucket"], (Some("bitbucket"), None, Some("audit"))),
    kind(
        &["onelogin"],
        (Some("onelogin"), None, Some("onelogin.events")),
    ),
    kind(
        &["opencanary"],
        (Some("opencanary"), Some("application"), None),
    ),
    kind(&["fortigate"], (Some("fortigate"), None, Some("event"))),
    kind(&["cisco-aaa"], (Some("cisco"), None, Some("aaa"))),
    kind(
        &["cisco", "cisco-ios"],
        (Some("cisco"), None, Some("syslog")),
    ),
    kind(
        &["mysql", "mariadb", "postgres"],
        (None, Some("database"), None),
    ),
];

/// Tells what a JSON event is by what it holds.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) source: Names,
    /// All of these keys are there.
    keys: &'static [&'static str],
    /// And these texts, by pointer (RFC 6901), begin so (case aside).
    texts: &'static [(&'static str, &'static str)],
}

const fn shape(
    source: Names,
    keys: &'static [&'static str],
    texts: &'static [(&'static str, &'static str)],
) -> Shape {
    Shape {
        source,
        keys,
        texts,
    }
}

const fn azure(service: &'static str) -> Names {
    (Some("azure"), None, Some(service))
}

const fn zeek(service: &'static str) -> Names {
    (Some("zeek"), None, Some(service))
}

const fn gcp(service: &'static str) -> Names {
    (Some("gcp"), None, Some(service))
}

pub(super) const SHAPES: &[Shape] = &[
    shape(
        (Some("aws"), None, Some("cloudtrail")),
        &["eventSource", "eventName", "userIdentity"],
        &[],
    ),
    shape(
        (Some("aws"), None, Some("cloudtrail")),
        &["detail"],
        &[("/detail/eventSource", "")],
    ),
    shape(
        (Some("kubernetes"), Some("application"), Some("audit")),
        &["verb"],
        &[("/apiVersion", "audit.k8s.io")],
    ),
    shape(
        (Some("okta"), None, Some("okta")),
        &["eventType", "actor", "outcome", "published"],
        &[],
    ),
    shape(gcp("gcp.audit"), &["protoPayload"], &[]),
    shape(
        gcp("google_workspace.admin"),
        &["protoPayload"],
        &[("/protoPayload/serviceName", "admin.googleapis.com")],
    ),
    shape(
        gcp("google_workspace.login"),
        &["protoPayload"],
        &[("/protoPayload/serviceName", "login.googleapis.com")],
    ),
    shape(azure("auditlogs"), &[], &[("/category", "AuditLogs")]),
    shape(azure("auditlogs"), &[], &[("/Category", "AuditLogs")]),
    shape(azure("signinlogs"), &[], &[("/category", "SignInLogs")]),
    shape(azure("signinlogs"), &[], &[("/Category", "SignInLogs")]),
    shape(
        azure("activitylogs"),
        &["operationName", "resourceId", "category"],
        &[],
    ),
    shape(azure("activitylogs"), &["OperationNameValue"], &[]),
    shape(azure("riskdetection"), &["riskEventType"], &[]),
    shape(
        azure("riskdetection"),
        &["properties"],
        &[("/properties/riskEventType", "")],
    ),
    shape(
        (Some("github"), None, Some("audit")),
        &["action", "actor", "org"],
        &[],
    ),
    shape(
        (Some("bitbucket"), None, Some("audit")),
        &["auditType", "author", "source"],
        &[],
    ),
    shape(
        (Some("onelogin"), None, Some("onelogin.events")),
        &["event_type_id", "account_id"],
        &[],
    ),
    shape(
        (Some("m365"), None, Some("audit")),
        &["Workload", "Operation", "CreationTime"],
        &[],
    ),
    shape(
        (Some("m365"), None, Some("exchange")),
        &["Operation", "CreationTime"],
        &[("/Workload", "Exchange")],
    ),
    shape(
        (Some("m365"), None, Some("threat_management")),
        &["eventSource", "eventName", "status"],
        &[("/eventSource", "SecurityComplianceCenter")],
    ),
    shape(
        (Some("opencanary"), Some("application"), None),
        &["logtype", "node_id"],
        &[],
    ),
    shape(
        (Some("linux"), None, Some("auditd")),
        &["type", "msg"],
        &[("/msg", "audit(")],
    ),
    shape(zeek("http"), &["uri", "method", "id.orig_h"], &[]),
    shape(zeek("dns"), &["query", "qtype_name", "id.orig_h"], &[]),
    shape(zeek("http"), &[], &[("/_path", "http")]),
    shape(zeek("dns"), &[], &[("/_path", "dns")]),
    shape(zeek("smb_files"), &[], &[("/_path", "smb_files")]),
    shape(zeek("dce_rpc"), &[], &[("/_path", "dce_rpc")]),
    shape(zeek("x509"), &[], &[("/_path", "x509")]),
    shape(zeek("rdp"), &[], &[("/_path", "rdp")]),
    shape(zeek("kerberos"), &[], &[("/_path", "kerberos")]),
    // Elastic Common Schema: process starts of Linux and macOS.
    shape(
        (Some("linux"), Some("process_creation"), None),
        &["process"],
        &[("/host/os/type", "linux")],
    ),
    shape(
        (Some("macos"), Some("process_creation"), None),
        &["process"],
        &[("/host/os/type", "macos")],
    ),
    shape(
        (Some("windows"), Some("process_creation"), None),
        &["process"],
        &[("/host/os/type", "windows")],
    ),
    shape(
        (None, Some("webserver"), None),
        &["request_uri", "request_method"],
        &[],
    ),
];

impl Shape {
    pub(super) fn fits(&self, event: &Json) -> bool {
        let starts = |text: &str, start: &str| {
            text.get(..start.len())
                .is_some_and(|head| head.eq_ignore_ascii_case(start))
        };
        self.keys.iter().all(|key| event.get(key).is_some())
            && self.texts.iter().all(|(pointer, start)| {
                event
                    .pointer(pointer)
                    .and_then(Json::as_str)
                    .is_some_and(|text| starts(text, start))
            })
    }
}

/// Providers by which an event without a channel is known, and their service.
pub(super) const PROVIDERS: &[(&str, &str)] = &[
    ("microsoft-windows-sysmon", "sysmon"),
    ("microsoft-windows-security-auditing", "security"),
];

/// Windows' channels by service, beside those under `Microsoft-Windows-…`.
const CHANNELS: &[(&str, &[&str])] = &[
    ("application", &["Application"]),
    ("security", &["Security"]),
    ("system", &["System"]),
    ("sysmon", &["Microsoft-Windows-Sysmon/Operational"]),
    (
        "powershell",
        &[
            "Microsoft-Windows-PowerShell/Operational",
            "PowerShellCore/Operational",
        ],
    ),
    ("powershell-classic", &["Windows PowerShell"]),
    (
        "taskscheduler",
        &["Microsoft-Windows-TaskScheduler/Operational"],
    ),
    ("wmi", &["Microsoft-Windows-WMI-Activity/Operational"]),
    (
        "windefend",
        &["Microsoft-Windows-Windows Defender/Operational"],
    ),
    ("ntlm", &["Microsoft-Windows-NTLM/Operational"]),
    ("dhcp", &["Microsoft-Windows-DHCP-Server/Operational"]),
    ("dns-server", &["DNS Server"]),
    (
        "dns-server-analytic",
        &["Microsoft-Windows-DNS-Server/Analytical"],
    ),
    (
        "dns-client",
        &["Microsoft-Windows-DNS Client Events/Operational"],
    ),
    (
        "driver-framework",
        &["Microsoft-Windows-DriverFrameworks-UserMode/Operational"],
    ),
    (
        "microsoft-servicebus-client",
        &[
            "Microsoft-ServiceBus-Client",
            "Microsoft-ServiceBus-Client/Admin",
            "Microsoft-ServiceBus-Client/Operational",
        ],
    ),
    (
        "printservice-admin",
        &["Microsoft-Windows-PrintService/Admin"],
    ),
    (
        "printservice-operational",
        &["Microsoft-Windows-PrintService/Operational"],
    ),
    (
        "smbclient-security",
        &["Microsoft-Windows-SmbClient/Security"],
    ),
    (
        "smbclient-connectivity",
        &["Microsoft-Windows-SmbClient/Connectivity"],
    ),
    (
        "smbserver-connectivity",
        &["Microsoft-Windows-SMBServer/Connectivity"],
    ),
    (
        "terminalservices-localsessionmanager",
        &["Microsoft-Windows-TerminalServices-LocalSessionManager/Operational"],
    ),
    (
        "codeintegrity-operational",
        &["Microsoft-Windows-CodeIntegrity/Operational"],
    ),
    (
        "applocker",
        &[
            "Microsoft-Windows-AppLocker/MSI and Script",
            "Microsoft-Windows-AppLocker/EXE and DLL",
            "Microsoft-Windows-AppLocker/Packaged app-Deployment",
            "Microsoft-Windows-AppLocker/Packaged app-Execution",
        ],
    ),
    ("msexchange-management", &["MSExchange Management"]),
    (
        "firewall-as",
        &["Microsoft-Windows-Windows Firewall With Advanced Security/Firewall"],
    ),
    (
        "bits-client",
        &["Microsoft-Windows-Bits-Client/Operational"],
    ),
    (
        "security-mitigations",
        &[
            "Microsoft-Windows-Security-Mitigations/Kernel Mode",
            "Microsoft-Windows-Security-Mitigations/User Mode",
        ],
    ),
    (
        "diagnosis-scripted",
        &["Microsoft-Windows-Diagnosis-Scripted/Operational"],
    ),
    ("shell-core", &["Microsoft-Windows-Shell-Core/Operational"]),
    ("openssh", &["OpenSSH/Operational"]),
    ("ldap", &["Microsoft-Windows-LDAP-Client/Debug"]),
    (
        "bitlocker",
        &["Microsoft-Windows-BitLocker/BitLocker Management"],
    ),
    ("vhdmp", &["Microsoft-Windows-VHDMP/Operational"]),
    (
        "appxdeployment-server",
        &["Microsoft-Windows-AppXDeploymentServer/Operational"],
    ),
    (
        "appxpackaging-om",
        &["Microsoft-Windows-AppxPackaging/Operational"],
    ),
    ("lsa-server", &["Microsoft-Windows-LSA/Operational"]),
    (
        "appmodel-runtime",
        &["Microsoft-Windows-AppModel-Runtime/Admin"],
    ),
    ("capi2", &["Microsoft-Windows-CAPI2/Operational"]),
    (
        "certificateservicesclient-lifecycle-system",
        &["Microsoft-Windows-CertificateServicesClient-Lifecycle-System/Operational"],
    ),
    (
        "iis-configuration",
        &["Microsoft-IIS-Configuration/Operational"],
    ),
    (
        "kernel-event-tracing",
        &["Microsoft-Windows-Kernel-EventTracing"],
    ),
    ("sense", &["Microsoft-Windows-SENSE/Operational"]),
    ("hyper-v-worker", &["Microsoft-Windows-Hyper-V-Worker"]),
    ("ntfs", &["Microsoft-Windows-Ntfs/Operational"]),
];

/// A category: service, event numbers, `EventType` if it matters.
type Category = (
    &'static str,
    &'static str,
    &'static [u32],
    &'static [&'static str],
);

const CATEGORIES: &[Category] = &[
    ("process_creation", "sysmon", &[1], &[]),
    ("file_change", "sysmon", &[2], &[]),
    ("network_connection", "sysmon", &[3], &[]),
    ("sysmon_status", "sysmon", &[4, 16], &[]),
    ("process_termination", "sysmon", &[5], &[]),
    ("driver_load", "sysmon", &[6], &[]),
    ("image_load", "sysmon", &[7], &[]),
    ("create_remote_thread", "sysmon", &[8], &[]),
    ("raw_access_thread", "sysmon", &[9], &[]),
    ("process_access", "sysmon", &[10], &[]),
    ("file_event", "sysmon", &[11], &[]),
    ("registry_event", "sysmon", &[12, 13, 14], &[]),
    ("registry_add", "sysmon", &[12], &["CreateKey"]),
    (
        "registry_delete",
        "sysmon",
        &[12],
        &["DeleteKey", "DeleteValue"],
    ),
    ("registry_set", "sysmon", &[13], &[]),
    ("registry_rename", "sysmon", &[14], &[]),
    ("create_stream_hash", "sysmon", &[15], &[]),
    ("pipe_created", "sysmon", &[17, 18], &[]),
    ("wmi_event", "sysmon", &[19, 20, 21], &[]),
    ("dns_query", "sysmon", &[22], &[]),
    ("file_delete", "sysmon", &[23, 26], &[]),
    ("clipboard_change", "sysmon", &[24], &[]),
    ("process_tampering", "sysmon", &[25], &[]),
    ("file_delete_detected", "sysmon", &[26], &[]),
    ("file_block_executable", "sysmon", &[27], &[]),
    ("file_block_shredding", "sysmon", &[28], &[]),
    ("file_executable_detected", "sysmon", &[29], &[]),
    ("sysmon_error", "sysmon", &[255], &[]),
    ("ps_module", "powershell", &[4103], &[]),
    ("ps_script", "powershell", &[4104], &[]),
    ("ps_classic_start", "powershell-classic", &[400], &[]),
    (
        "ps_classic_provider_start",
        "powershell-classic",
        &[600],
        &[],
    ),
    ("ps_classic_script", "powershell-classic", &[800], &[]),
];

/// Windows' log sources, in the shape of a mapping file.
pub(super) fn windows() -> Mapping {
    let services = CHANNELS.iter().map(|(service, channels)| MappingEntry {
        name: (*service).to_owned(),
        log_source: named(Some("windows"), None, Some(service)),
        sources: channels
            .iter()
            .map(|c| format!("WinEventLog:{c}"))
            .collect(),
        ..MappingEntry::default()
    });
    let categories = CATEGORIES.iter().map(|(category, service, ids, types)| {
        let ids = ids.iter().map(u32::to_string).collect();
        let mut conditions = vec![("EventID".to_owned(), ids)];
        if !types.is_empty() {
            let types = types.iter().map(|t| (*t).to_owned()).collect();
            conditions.push(("EventType".to_owned(), types));
        }
        MappingEntry {
            name: (*category).to_owned(),
            log_source: named(Some("windows"), Some(category), None),
            conditions,
            rewrite: Some(named(Some("windows"), None, Some(service))),
            ..MappingEntry::default()
        }
    });
    let mut entries: Vec<MappingEntry> = services.chain(categories).collect();
    entries.push(audited_process());
    entries.push(antivirus());
    Mapping { entries }
}

/// Windows' own record of a new process, with its own names.
fn audited_process() -> MappingEntry {
    MappingEntry {
        name: "process_creation_security".to_owned(),
        log_source: named(Some("windows"), Some("process_creation"), None),
        conditions: vec![("EventID".to_owned(), vec!["4688".to_owned()])],
        rewrite: Some(named(Some("windows"), None, Some("security"))),
        renames: renames(&[
            ("Image", "NewProcessName"),
            ("ParentImage", "ParentProcessName"),
            ("ProcessId", "NewProcessId"),
            ("User", "SubjectUserName"),
            ("LogonId", "SubjectLogonId"),
        ]),
        ..MappingEntry::default()
    }
}

fn antivirus() -> MappingEntry {
    let found = [
        1006, 1007, 1008, 1009, 1010, 1011, 1012, 1017, 1018, 1019, 1115, 1116, 1117,
    ];
    MappingEntry {
        name: "antivirus_windefend".to_owned(),
        log_source: named(None, Some("antivirus"), None),
        conditions: vec![(
            "EventID".to_owned(),
            found.iter().map(i32::to_string).collect(),
        )],
        rewrite: Some(named(Some("windows"), None, Some("windefend"))),
        renames: renames(&[("Signature", "ThreatName"), ("Filename", "Path")]),
        ..MappingEntry::default()
    }
}

fn renames(pairs: &[(&str, &str)]) -> Vec<(String, Vec<String>)> {
    pairs
        .iter()
        .map(|(own, other)| ((*own).to_owned(), vec![(*other).to_owned()]))
        .collect()
}

//! What runs on Kubernetes: whether its parts fit together, which no schema knows.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chathook_gateway::Config;
use serde_json::{Value, json};

/// The objects of one installation.
struct Manifests(Vec<Value>);

/// The least that is a configuration.
const UNSIGNED: &str = "[[app]]\nsdk_app_id = 1\nunsigned = true\n";

/// A rule: its name, and what it finds wrong.
type Rule = (&'static str, fn(&Manifests) -> Vec<String>);

const RULES: [Rule; 9] = [
    ("configuration", configuration),
    ("served", served),
    ("names", names),
    ("labels", labels),
    ("ports", ports),
    ("references", references),
    ("secrets", secrets),
    ("drain", drain),
    ("rolling", rolling),
];

#[test]
fn the_parts_of_each_installation_fit_together() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/kubernetes");
    let shared = ["namespace.yaml", "monitoring.yaml"].map(|name| folder.join(name));
    let mut installations: Vec<Vec<PathBuf>> = yaml_files(&folder)
        .filter(|file| !shared.contains(file))
        .map(|file| shared.iter().cloned().chain([file]).collect())
        .collect();
    assert_eq!(installations.len(), 2, "one a kind of journal");
    // What `tests/deploy` has rendered with other values, each file whole.
    if let Some(rendered) = std::env::var_os("CHATHOOK_MANIFESTS") {
        let before = installations.len();
        installations.extend(yaml_files(Path::new(&rendered)).map(|file| vec![file]));
        assert!(installations.len() > before, "nothing is rendered");
    }
    for files in installations {
        assert_eq!(Manifests::read(&files).faults(), [] as [String; 0], "in {files:?}");
    }
}

#[test]
fn each_rule_finds_what_breaks_it() {
    let deployment = "Deployment/chathook";
    let (service, admin) = ("Service/chathook", "Service/chathook-admin");
    let pod = |path: &str| format!("/spec/template/spec{path}");
    let container = |path: &str| format!("/spec/template/spec/containers/0{path}");
    let toml = "/data/chathook.toml".to_owned();
    let broken: Vec<(&str, &str, String, Value)> = vec![
        ("served", "PodDisruptionBudget/chathook", "/apiVersion".to_owned(), json!("policy/v1beta1")),
        ("names", service, "/metadata/name".to_owned(), json!("Chathook_1")),
        ("names", service, "/metadata/name".to_owned(), json!("1chathook")),
        ("names", deployment, container("/name"), json!("the gateway")),
        ("names", deployment, container("/ports/0/name"), json!("callbacks-of-tencent")),
        ("names", deployment, "/metadata/labels/app.kubernetes.io~1name".to_owned(), json!("-")),
        ("labels", deployment, "/spec/selector/matchLabels/app.kubernetes.io~1name".to_owned(), json!("other")),
        ("labels", service, "/spec/selector/app.kubernetes.io~1component".to_owned(), json!("web")),
        ("labels", service, "/spec/selector".to_owned(), json!({})),
        ("labels", admin, "/metadata/labels/app.kubernetes.io~1component".to_owned(), json!("web")),
        (
            "labels",
            "PodDisruptionBudget/chathook",
            "/spec/selector/matchLabels/app.kubernetes.io~1name".to_owned(),
            json!("other"),
        ),
        (
            "labels",
            "NetworkPolicy/chathook",
            "/spec/podSelector/matchLabels/app.kubernetes.io~1name".to_owned(),
            json!("other"),
        ),
        (
            "labels",
            deployment,
            pod("/topologySpreadConstraints/0/labelSelector/matchLabels/app.kubernetes.io~1name"),
            json!("other"),
        ),
        ("ports", deployment, container("/readinessProbe/httpGet/port"), json!("http")),
        ("ports", deployment, container("/ports/0/containerPort"), json!(8081)),
        ("ports", service, "/spec/ports/0/targetPort".to_owned(), json!("http")),
        ("ports", service, "/spec/ports/0/targetPort".to_owned(), json!(8080)),
        ("ports", "NetworkPolicy/chathook", "/spec/ingress/0/ports/0/port".to_owned(), json!("http")),
        ("ports", "ServiceMonitor/chathook", "/spec/endpoints/0/port".to_owned(), json!("metrics")),
        (
            "ports",
            "ConfigMap/chathook",
            toml.clone(),
            json!(format!("{UNSIGNED}[callbacks]\nlisten = \"0.0.0.0:9999\"")),
        ),
        ("references", deployment, pod("/volumes/0/configMap/name"), json!("other")),
        ("references", deployment, pod("/volumes/0/name"), json!("other")),
        ("references", deployment, container("/volumeMounts/0/name"), json!("other")),
        ("references", deployment, pod("/serviceAccountName"), json!("other")),
        ("references", "HorizontalPodAutoscaler/chathook", "/spec/scaleTargetRef/name".to_owned(), json!("other")),
        (
            "references",
            "ConfigMap/chathook",
            toml.clone(),
            json!("[[app]]\nsdk_app_id = 1\ntokens = { file = \"/run/secrets/other/token\" }"),
        ),
        (
            "references",
            "ConfigMap/chathook",
            toml.clone(),
            json!("[[app]]\nsdk_app_id = 1\ntokens = { env = \"NOBODY_SETS\" }"),
        ),
        ("secrets", "ConfigMap/chathook", "/kind".to_owned(), json!("Secret")),
        ("secrets", deployment, container("/volumeMounts/1/subPath"), json!("callback-token")),
        ("secrets", deployment, pod("/automountServiceAccountToken"), json!(true)),
        ("drain", deployment, pod("/terminationGracePeriodSeconds"), json!(25)),
        ("drain", "ConfigMap/chathook", toml.clone(), json!(format!("{UNSIGNED}[shutdown]\ngrace = \"20s\""))),
        ("configuration", "ConfigMap/chathook", toml, json!(format!("{UNSIGNED}[shutdown]\ndelays = \"20s\""))),
        ("rolling", deployment, "/spec/strategy/rollingUpdate/maxUnavailable".to_owned(), json!(1)),
        ("rolling", deployment, container("/readinessProbe/httpGet/path"), json!("/healthz")),
        ("rolling", deployment, container("/startupProbe"), Value::Null),
    ];
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/kubernetes");
    let files = ["namespace.yaml", "monitoring.yaml", "jetstream.yaml"].map(|name| folder.join(name));
    let tried: BTreeSet<&str> = broken.iter().map(|(rule, ..)| *rule).collect();
    assert_eq!(tried, RULES.iter().map(|(name, _)| *name).collect(), "every rule is tried");
    for (rule, object, path, value) in broken {
        let mut manifests = Manifests::read(&files);
        manifests.set(object, &path, value.clone());
        let faults = manifests.faults();
        let prefix = format!("{rule}: ");
        assert!(faults.iter().any(|fault| fault.starts_with(&prefix)), "{object} {path} = {value}: {faults:?}");
    }
}

fn yaml_files(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.into_iter().filter(|file| file.extension().is_some_and(|extension| extension == "yaml"))
}

impl Manifests {
    fn read(files: &[PathBuf]) -> Self {
        let objects = files.iter().flat_map(|file| {
            let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            let objects: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
            objects.into_iter().filter(|object| !object.is_null())
        });
        Self(objects.collect())
    }

    /// Puts `value` in the place of what stands at `path` in `object`, or of nothing.
    fn set(&mut self, object: &str, path: &str, value: Value) {
        let object = self.0.iter_mut().find(|it| name(it) == object).unwrap();
        let (parent, key) = path.rsplit_once('/').unwrap();
        object.pointer_mut(parent).unwrap()[key.replace("~1", "/")] = value;
    }

    fn faults(&self) -> Vec<String> {
        let faults =
            RULES.iter().flat_map(|(name, rule)| rule(self).into_iter().map(move |fault| format!("{name}: {fault}")));
        faults.collect()
    }

    fn of<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        self.0.iter().filter(move |object| object["kind"] == kind)
    }

    fn has(&self, kind: &str, name: &Value) -> bool {
        self.of(kind).any(|object| object["metadata"]["name"] == *name)
    }

    /// What runs the gateway.
    fn workloads(&self) -> impl Iterator<Item = &Value> {
        self.of("Deployment").chain(self.of("StatefulSet"))
    }

    /// The pods of the gateway.
    fn pods(&self) -> impl Iterator<Item = &Value> {
        self.workloads().map(|workload| &workload["spec"]["template"])
    }

    fn containers(&self) -> impl Iterator<Item = &Value> {
        self.pods().flat_map(|pod| list(&pod["spec"]["containers"]))
    }

    /// The text of the configuration.
    fn toml(&self) -> &str {
        let config = self.of("ConfigMap").find_map(|map| map["data"]["chathook.toml"].as_str());
        config.unwrap_or_default()
    }

    fn config(&self) -> Result<Config, String> {
        Config::parse(self.toml(), Path::new("chathook.toml"), []).map_err(|error| error.to_string())
    }

    /// Whether pods have a port of that name.
    fn has_port(&self, name: &Value) -> bool {
        self.containers().any(|container| list(&container["ports"]).any(|port| port["name"] == *name))
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn name(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    format!("{}/{}", text(&object["kind"]), text(&object["metadata"]["name"]))
}

/// Whether every label of `selector` is among `labels`, and there is one.
fn selects(selector: &Value, labels: &Value) -> bool {
    selector.as_object().is_some_and(|it| !it.is_empty() && it.iter().all(|(key, value)| labels[key] == *value))
}

/// The gateway takes its configuration.
fn configuration(manifests: &Manifests) -> Vec<String> {
    manifests.config().err().into_iter().collect()
}

/// Only what current versions of Kubernetes serve.
fn served(manifests: &Manifests) -> Vec<String> {
    const SERVED: [(&str, &[&str]); 7] = [
        ("v1", &["ConfigMap", "Namespace", "Pod", "Service", "ServiceAccount"]),
        ("apps/v1", &["Deployment", "StatefulSet"]),
        ("autoscaling/v2", &["HorizontalPodAutoscaler"]),
        ("gateway.networking.k8s.io/v1", &["HTTPRoute"]),
        ("monitoring.coreos.com/v1", &["PodMonitor", "PrometheusRule", "ServiceMonitor"]),
        ("networking.k8s.io/v1", &["Ingress", "NetworkPolicy"]),
        ("policy/v1", &["PodDisruptionBudget"]),
    ];
    let is_served = |object: &&Value| {
        SERVED.iter().any(|(version, kinds)| {
            object["apiVersion"] == *version && kinds.iter().any(|kind| object["kind"] == *kind)
        })
    };
    manifests.0.iter().filter(|it| !is_served(it)).map(|it| format!("{}: {}", name(it), it["apiVersion"])).collect()
}

/// Names and labels that the API takes.
fn names(manifests: &Manifests) -> Vec<String> {
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    // RFC 1123, as Kubernetes reads it.
    let is_label = |name: &str, max: usize| {
        !name.is_empty()
            && name.len() <= max
            && name.bytes().all(is_inner)
            && !name.starts_with('-')
            && !name.ends_with('-')
    };
    let is_subdomain = |name: &str| name.len() <= 253 && name.split('.').all(|part| is_label(part, 63));
    let is_port =
        |name: &str| is_label(name, 15) && !name.contains("--") && name.bytes().any(|byte| byte.is_ascii_lowercase());
    let is_label_value = |value: &str| {
        let is_end = |c: char| c.is_ascii_alphanumeric();
        value.is_empty()
            || value.len() <= 63
                && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
                && value.starts_with(is_end)
                && value.ends_with(is_end)
    };
    let mut faults = Vec::new();
    for object in &manifests.0 {
        let own = object["metadata"]["name"].as_str().unwrap_or_default();
        let is_good = match object["kind"].as_str() {
            // RFC 1035: a label that begins with a letter.
            Some("Service") => is_label(own, 63) && own.starts_with(|c: char| c.is_ascii_lowercase()),
            // Its pods have a label with its name and a hash.
            Some("StatefulSet") => is_label(own, 52),
            Some("Namespace") => is_label(own, 63),
            _ => is_subdomain(own),
        };
        if !is_good {
            faults.push(name(object));
        }
        for labels in [&object["metadata"]["labels"], &object["spec"]["template"]["metadata"]["labels"]] {
            for (key, value) in labels.as_object().into_iter().flatten() {
                if !value.as_str().is_some_and(is_label_value) {
                    faults.push(format!("{}: label {key}: {value}", name(object)));
                }
            }
        }
    }
    for pod in manifests.pods() {
        let named = list(&pod["spec"]["containers"]).chain(list(&pod["spec"]["volumes"]));
        faults.extend(named.filter_map(|it| it["name"].as_str()).filter(|it| !is_label(it, 63)).map(str::to_owned));
    }
    let container_ports = manifests.containers().flat_map(|container| list(&container["ports"]));
    let service_ports = manifests.of("Service").flat_map(|service| list(&service["spec"]["ports"]));
    let ports = container_ports.chain(service_ports).filter_map(|port| port["name"].as_str());
    faults.extend(ports.filter(|port| !is_port(port)).map(|port| format!("port {port}")));
    faults
}

/// Whatever selects pods selects those of the gateway, and what selects Services finds one.
fn labels(manifests: &Manifests) -> Vec<String> {
    let mut faults = Vec::new();
    let mut select_pods: Vec<(String, &Value)> = Vec::new();
    for workload in manifests.workloads() {
        select_pods.push((name(workload), &workload["spec"]["selector"]["matchLabels"]));
        for constraint in list(&workload["spec"]["template"]["spec"]["topologySpreadConstraints"]) {
            select_pods.push((name(workload), &constraint["labelSelector"]["matchLabels"]));
        }
    }
    select_pods.extend(manifests.of("Service").map(|it| (name(it), &it["spec"]["selector"])));
    select_pods
        .extend(manifests.of("PodDisruptionBudget").map(|it| (name(it), &it["spec"]["selector"]["matchLabels"])));
    select_pods.extend(manifests.of("PodMonitor").map(|it| (name(it), &it["spec"]["selector"]["matchLabels"])));
    select_pods.extend(manifests.of("NetworkPolicy").map(|it| (name(it), &it["spec"]["podSelector"]["matchLabels"])));
    for (who, selector) in select_pods {
        if !manifests.pods().any(|pod| selects(selector, &pod["metadata"]["labels"])) {
            faults.push(format!("{who} selects no pod of the gateway: {selector}"));
        }
        // A pod of `helm test` answers no callbacks.
        if manifests.of("Pod").any(|pod| selects(selector, &pod["metadata"]["labels"])) {
            faults.push(format!("{who} selects a pod that is no gateway: {selector}"));
        }
    }
    for monitor in manifests.of("ServiceMonitor") {
        let selector = &monitor["spec"]["selector"]["matchLabels"];
        let found = manifests.of("Service").filter(|it| selects(selector, &it["metadata"]["labels"])).count();
        if found != 1 {
            faults.push(format!("{} selects {found} Services", name(monitor)));
        }
    }
    faults
}

/// Every port that is named is there, and what listens is where the configuration says.
fn ports(manifests: &Manifests) -> Vec<String> {
    let mut faults = Vec::new();
    for container in manifests.containers() {
        for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
            let port = &container[probe]["httpGet"]["port"];
            if !container[probe].is_null() && !manifests.has_port(port) {
                faults.push(format!("{probe}: {port}"));
            }
        }
        let Ok(config) = manifests.config() else { continue };
        for (port, listen) in [("callbacks", &config.callbacks.listen), ("admin", &config.admin.listen)] {
            let number =
                list(&container["ports"]).find(|it| it["name"] == port).map(|it| it["containerPort"].to_string());
            if number.as_deref() != listen.rsplit(':').next() {
                faults.push(format!("{port}: {number:?}, and the configuration says {listen}"));
            }
        }
    }
    for service in manifests.of("Service") {
        let target_ports = list(&service["spec"]["ports"]).map(|port| &port["targetPort"]);
        faults.extend(target_ports.filter(|it| !manifests.has_port(it)).map(|it| format!("{}: {it}", name(service))));
    }
    for policy in manifests.of("NetworkPolicy") {
        let ports = list(&policy["spec"]["ingress"]).flat_map(|rule| list(&rule["ports"])).map(|port| &port["port"]);
        faults.extend(ports.filter(|it| !manifests.has_port(it)).map(|it| format!("{}: {it}", name(policy))));
    }
    for monitor in manifests.of("PodMonitor") {
        let ports = list(&monitor["spec"]["podMetricsEndpoints"]).map(|endpoint| &endpoint["port"]);
        faults.extend(ports.filter(|it| !manifests.has_port(it)).map(|it| format!("{}: {it}", name(monitor))));
    }
    for monitor in manifests.of("ServiceMonitor") {
        let selector = &monitor["spec"]["selector"]["matchLabels"];
        let selected = manifests.of("Service").filter(|it| selects(selector, &it["metadata"]["labels"]));
        let ports: Vec<&Value> = selected.flat_map(|it| list(&it["spec"]["ports"])).map(|port| &port["name"]).collect();
        let wanted = list(&monitor["spec"]["endpoints"]).map(|endpoint| &endpoint["port"]);
        faults.extend(wanted.filter(|it| !ports.contains(it)).map(|it| format!("{}: {it}", name(monitor))));
    }
    let has = |service: &Value, key: &str, port: &Value| {
        let services = manifests.of("Service").filter(|it| it["metadata"]["name"] == *service);
        services.flat_map(|it| list(&it["spec"]["ports"])).any(|it| it[key] == *port)
    };
    for ingress in manifests.of("Ingress") {
        let paths = list(&ingress["spec"]["rules"]).flat_map(|rule| list(&rule["http"]["paths"]));
        let backends = paths.map(|path| &path["backend"]["service"]);
        let unknown = backends.filter(|it| !has(&it["name"], "name", &it["port"]["name"]));
        faults.extend(unknown.map(|it| format!("{}: {it}", name(ingress))));
    }
    for route in manifests.of("HTTPRoute") {
        let backends = list(&route["spec"]["rules"]).flat_map(|rule| list(&rule["backendRefs"]));
        let unknown = backends.filter(|it| !has(&it["name"], "port", &it["port"]));
        faults.extend(unknown.map(|it| format!("{}: {it}", name(route))));
    }
    faults
}

/// Whatever is named is there: maps, volumes, accounts, and the files and variables that the configuration names.
fn references(manifests: &Manifests) -> Vec<String> {
    let mut faults = Vec::new();
    let mut missing = |what: &str, it: &Value| faults.push(format!("there is no {what} {it}"));
    for workload in manifests.workloads() {
        let pod = &workload["spec"]["template"]["spec"];
        let claims = list(&workload["spec"]["volumeClaimTemplates"]).map(|claim| &claim["metadata"]["name"]);
        let volumes: Vec<&Value> = list(&pod["volumes"]).map(|volume| &volume["name"]).chain(claims).collect();
        let mounts: Vec<&Value> = list(&pod["containers"]).flat_map(|it| list(&it["volumeMounts"])).collect();
        let mounted: Vec<&Value> = mounts.iter().map(|mount| &mount["name"]).collect();
        mounted.iter().filter(|it| !volumes.contains(it)).for_each(|it| missing("volume", it));
        volumes.iter().filter(|it| !mounted.contains(it)).for_each(|it| missing("mount of", it));

        let maps = list(&pod["volumes"]).map(|volume| &volume["configMap"]["name"]).filter(|it| !it.is_null());
        maps.filter(|it| !manifests.has("ConfigMap", it)).for_each(|it| missing("ConfigMap", it));
        let account = &pod["serviceAccountName"];
        if account != "default" && !manifests.has("ServiceAccount", account) {
            missing("ServiceAccount", account);
        }
        let service = &workload["spec"]["serviceName"];
        if !service.is_null() && !manifests.has("Service", service) {
            missing("Service", service);
        }

        let in_maps = manifests.of("ConfigMap").flat_map(|map| map["data"].as_object()).flat_map(|data| data.keys());
        let in_maps: Vec<String> = in_maps.map(|file| format!("/etc/chathook/{file}")).collect();
        let folders: Vec<&str> = mounts.iter().filter_map(|it| it["mountPath"].as_str()).collect();
        let variables = list(&pod["containers"]).flat_map(|it| list(&it["env"])).map(|variable| &variable["name"]);
        let variables: Vec<&Value> = variables.collect();
        // What stands in quotes: paths are absolute, as nobody knows which folder a container is started in.
        for quoted in manifests.toml().lines().flat_map(|line| line.split('"').skip(1).step_by(2)) {
            let is_secret = quoted.starts_with("/run/");
            let is_there = match quoted.strip_prefix("/etc/chathook/") {
                Some(_) => in_maps.iter().any(|file| file == quoted),
                None => folders.iter().any(|it| quoted.strip_prefix(it).is_some_and(|rest| rest.starts_with('/'))),
            };
            if (is_secret || quoted.starts_with("/etc/")) && !is_there {
                missing("mounted file", &json!(quoted));
            }
        }
        for rest in manifests.toml().split("env = \"").skip(1) {
            let variable = json!(rest.split('"').next());
            if !variables.contains(&&variable) {
                missing("variable", &variable);
            }
        }
    }
    for autoscaler in manifests.of("HorizontalPodAutoscaler") {
        let target = &autoscaler["spec"]["scaleTargetRef"];
        if !manifests.workloads().any(|it| it["kind"] == target["kind"] && it["metadata"]["name"] == target["name"]) {
            missing("workload", &target["name"]);
        }
    }
    faults
}

/// Secrets are named and never given, and follow a change; there is no token of Kubernetes to steal.
fn secrets(manifests: &Manifests) -> Vec<String> {
    let mut faults: Vec<String> = manifests.of("Secret").map(name).collect();
    let mounts = manifests.containers().flat_map(|container| list(&container["volumeMounts"]));
    faults.extend(mounts.filter(|mount| !mount["subPath"].is_null()).map(|mount| format!("subPath: {mount}")));
    for pod in manifests.pods().map(|pod| &pod["spec"]).chain(manifests.of("Pod").map(|pod| &pod["spec"])) {
        if pod["automountServiceAccountToken"] != false {
            faults.push("a pod has a token of Kubernetes".to_owned());
        }
    }
    faults
}

/// A pod has the time that its gateway takes to end in order.
fn drain(manifests: &Manifests) -> Vec<String> {
    let Ok(config) = manifests.config() else { return Vec::new() };
    // Callbacks have the grace period, and deliveries have it once more.
    let takes = config.shutdown.delay + 2 * config.shutdown.grace;
    let too_short = manifests
        .pods()
        .map(|pod| &pod["spec"]["terminationGracePeriodSeconds"])
        .filter(|seconds| Duration::from_secs(seconds.as_u64().unwrap_or(30)) <= takes);
    too_short.map(|seconds| format!("{seconds} s, and the drain takes up to {takes:?}")).collect()
}

/// No old pod goes before a new one takes callbacks.
fn rolling(manifests: &Manifests) -> Vec<String> {
    let mut faults = Vec::new();
    for deployment in manifests.of("Deployment") {
        if deployment["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] != 0 {
            faults.push(format!("{}: maxUnavailable", name(deployment)));
        }
    }
    for container in manifests.containers() {
        for (probe, path) in
            [("startupProbe", "/healthz"), ("livenessProbe", "/healthz"), ("readinessProbe", "/readyz?exclude=journal")]
        {
            if container[probe]["httpGet"]["path"] != path {
                faults.push(format!("{probe}: {}", container[probe]));
            }
        }
    }
    faults
}

# Folds `perf script` into a table: samples by the part of the gateway that the work was done for. A sample belongs to the innermost
# frame that names such a part; memory and copying done for it are its own. A second table tells what was executed.
function part(name) {
    if (name ~ /opentelemetry|chapar_telemetry|tracing/) return "telemetry: spans, metrics"
    if (name ~ /chapar_evidence|chapar_tlog|prost::/) return "evidence: record, log"
    if (name ~ /pipeline::record/) return "evidence: record, log"
    if (name ~ /chapar_gateway::upstream/) return "forward: upstream choice, place"
    if (name ~ /chapar_transport::dial/) return "forward: dial"
    if (name ~ /chapar_contract/) return "read, minimise: wire"
    if (name ~ /chapar_(registry|limit)/) return "permit, admit"
    if (name ~ /chapar_gateway::pipeline/) return "pipeline (all stages inlined)"
    if (name ~ /chapar_gateway::(stack|observe|identify|metadata|headers)/) return "stack: per-request layers"
    if (name ~ /chapar_/) return "gateway, other"
    if (name ~ /tokio_rustls|rustls::|aws_lc|aead_aes/) return "TLS"
    if (name ~ /h2::client|h2::proto|h2::codec|h2::frame|h2::hpack|h2::server|h2::share/) return "HTTP/2 (h2)"
    if (name ~ /hyper/) return "HTTP/2 (hyper)"
    if (name ~ /tokio/) return "runtime (tokio)"
    return ""
}
function kind(name, object) {
    if (object ~ /kernel|unknown/) return "kernel"
    if (name ~ /malloc|free|calloc|unlink_chunk|_int_|mi_/) return "memory (malloc, free)"
    if (name ~ /memmove|memcpy|memset|memcmp/) return "copying, comparing"
    if (name ~ /aws_lc|aead|sha256|SHA|gcm|chacha/) return "cryptography"
    if (object ~ /vdso/) return "clock"
    return "code"
}
function finish() {
    if (!frames) return
    total++
    by_kind[leaf_kind]++
    if (thread ~ /^evidence/) owner = "evidence: the log's thread"
    else if (owner == "") owner = leaf_kind == "kernel" ? "kernel, by no part" : "unknown"
    by_part[owner]++
    if (leaf_kind == "kernel") kernel[owner]++
    if (leaf_kind ~ /^memory/) memory[owner]++
    frames = 0; owner = ""
}
/^[^ \t]/ { finish(); thread = $1; next }
NF {
    name = $2; for (i = 3; i < NF; i++) name = name " " $i
    if (!frames++) leaf_kind = kind(name, $NF)
    if (owner == "") owner = part(name)
}
END {
    finish()
    sort = "sort -rn"
    for (p in by_part) printf "%5.1f %%  %-36s (kernel %4.1f, memory %4.1f)\n", 100 * by_part[p] / total, p, 100 * kernel[p] / total, 100 * memory[p] / total | sort
    close(sort)
    print ""
    for (k in by_kind) printf "%5.1f %%  %s\n", 100 * by_kind[k] / total, k | sort
}

# [kubernetes] of danube.toml: the cluster that jobs run on, and how their pods are made.
{ types, optional }:
let
  image = types.strMatching ".+@sha256:[0-9a-f]{64}";
  cpu = types.either types.str types.number;
  grace = "1s to 1d";
in
{
  kubeconfig = optional types.str "/var/lib/danube/kubeconfig" ''
    How the cluster is reached: a file as kubectl has it, which only Danube's user can read, as a string. Its content belongs into
    no configuration: the Nix store can be read by everybody.
  '';
  context = optional types.str "production" "Which context of the kubeconfig counts.";
  namespace = optional types.str "danube-jobs" "Where the pods of jobs are, and nothing else.";
  instance = optional types.str "danube" "This Danube's name among those that share the namespace.";
  shim_image = optional image "registry.example/danube-shim@sha256:…" "The image with danube-shim, by its digest.";
  coordinator_image = optional image "registry.example/danube-coordinator@sha256:…" ''
    The image in which danubefiles run, by its digest.
  '';
  enforcement = optional (types.enum [
    "required"
    "off"
  ]) "required" "Whether Cilium must hold jobs to the names they list.";
  isolation = optional (types.enum [
    "require"
    "off"
  ]) "require" "What happens where a node isolates a pod by less than was asked for: the job is refused, or runs.";
  pull_secrets = optional (types.listOf types.str) [ "registry" ] ''
    Secrets of the namespace, by name, with which nodes pull images.
  '';
  node_selector = optional (types.attrsOf types.str) {
    "kubernetes.io/arch" = "amd64";
  } "Labels that a node must have.";
  coordinator_cpu = optional cpu "500m" "CPUs of a coordinator.";
  coordinator_memory = optional types.str "256Mi" "Memory of a coordinator.";
  worker_cpu = optional cpu 1 "CPUs of each other container, unless the danubefile says otherwise.";
  worker_memory = optional types.str "2Gi" "The same for memory.";
  workspace = optional types.str "10Gi" "Room of `/workspace`, unless the danubefile says otherwise.";
  git_depth = optional types.ints.unsigned 50 "How many commits of history a workspace has; 0 for all of it.";
  pull_grace = optional types.str "120s" "How long an image may be refused before its job fails: ${grace}.";
  node_grace = optional types.str "10m" "How long no node may have room before the job fails: ${grace}.";
}

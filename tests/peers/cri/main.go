// A small CRI client, enough to play the kubelet for pod sandboxes: it runs, inspects and removes
// them at a runtime's socket and prints JSON. The tests use it where people would use crictl.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

const usage = `Usage: cri [--endpoint SOCKET] [--timeout DURATION] COMMAND

  run --name NAME [--namespace NS] [--uid UID] [--attempt N] [--annotation K=V]... [--label K=V]...
      [--cgroup-parent PATH]
                  runs a pod sandbox, prints {"id": ...}
  status ID       the sandbox's state, addresses and the runtime's verbose information
  stop ID...      stops sandboxes (calls CNI DEL); each ID is tried, even after a failure
  remove ID...    removes stopped sandboxes
  list            all sandboxes
  images          the names of all images
  runtime-status  the runtime's conditions and verbose information
`

// pairs collects a repeatable K=V flag.
type pairs map[string]string

func (p pairs) String() string { return "" }

func (p pairs) Set(text string) error {
	key, value, found := strings.Cut(text, "=")
	if !found {
		return fmt.Errorf("%q is not K=V", text)
	}
	p[key] = value
	return nil
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintf(os.Stderr, "cri: %v\n", err)
		os.Exit(1)
	}
}

func run() error {
	endpoint := flag.String("endpoint", "/run/containerd/containerd.sock", "")
	timeout := flag.Duration("timeout", 2*time.Minute, "")
	flag.Usage = func() { fmt.Fprint(os.Stderr, usage) }
	flag.Parse()
	if flag.NArg() == 0 {
		return errors.New("no command, see --help")
	}
	command, args := flag.Arg(0), flag.Args()[1:]

	conn, err := grpc.NewClient("unix://"+*endpoint,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		// The verbose status of a runtime with many plugins is larger than grpc's 4 MiB at times.
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(16<<20)))
	if err != nil {
		return err
	}
	defer conn.Close()
	client := runtime.NewRuntimeServiceClient(conn)
	ctx, cancel := context.WithTimeout(context.Background(), *timeout)
	defer cancel()

	switch command {
	case "run":
		config, err := sandboxConfig(args)
		if err != nil {
			return err
		}
		reply, err := client.RunPodSandbox(ctx, &runtime.RunPodSandboxRequest{Config: config})
		if err != nil {
			return err
		}
		return printJSON(map[string]any{"id": reply.PodSandboxId})
	case "status":
		if len(args) != 1 {
			return errors.New("status takes one ID")
		}
		reply, err := client.PodSandboxStatus(ctx,
			&runtime.PodSandboxStatusRequest{PodSandboxId: args[0], Verbose: true})
		if err != nil {
			return err
		}
		return printStatus(reply.Status, reply.Info)
	case "stop":
		return forEach(args, func(id string) error {
			_, err := client.StopPodSandbox(ctx, &runtime.StopPodSandboxRequest{PodSandboxId: id})
			return err
		})
	case "remove":
		return forEach(args, func(id string) error {
			_, err := client.RemovePodSandbox(ctx, &runtime.RemovePodSandboxRequest{PodSandboxId: id})
			return err
		})
	case "list":
		reply, err := client.ListPodSandbox(ctx, &runtime.ListPodSandboxRequest{})
		if err != nil {
			return err
		}
		sandboxes := []json.RawMessage{}
		for _, item := range reply.Items {
			text, err := marshal(item)
			if err != nil {
				return err
			}
			sandboxes = append(sandboxes, text)
		}
		return printJSON(sandboxes)
	case "images":
		images := runtime.NewImageServiceClient(conn)
		reply, err := images.ListImages(ctx, &runtime.ListImagesRequest{})
		if err != nil {
			return err
		}
		names := []string{}
		for _, image := range reply.Images {
			names = append(names, image.RepoTags...)
		}
		return printJSON(names)
	case "runtime-status":
		reply, err := client.Status(ctx, &runtime.StatusRequest{Verbose: true})
		if err != nil {
			return err
		}
		return printStatus(reply.Status, reply.Info)
	}
	return fmt.Errorf("unknown command %q, see --help", command)
}

// sandboxConfig is what the kubelet sends for a plain pod, reduced to what a runtime insists on.
func sandboxConfig(args []string) (*runtime.PodSandboxConfig, error) {
	flags := flag.NewFlagSet("run", flag.ExitOnError)
	meta := &runtime.PodSandboxMetadata{}
	flags.StringVar(&meta.Name, "name", "", "")
	flags.StringVar(&meta.Namespace, "namespace", "default", "")
	flags.StringVar(&meta.Uid, "uid", "", "")
	attempt := flags.Uint("attempt", 0, "")
	linux := &runtime.LinuxPodSandboxConfig{}
	flags.StringVar(&linux.CgroupParent, "cgroup-parent", "", "")
	annotations, labels := pairs{}, pairs{}
	flags.Var(annotations, "annotation", "")
	flags.Var(labels, "label", "")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if meta.Name == "" || flags.NArg() > 0 {
		return nil, errors.New("run takes flags only, and needs --name")
	}
	if meta.Uid == "" {
		meta.Uid = "uid-of-" + meta.Namespace + "-" + meta.Name
	}
	meta.Attempt = uint32(*attempt)
	return &runtime.PodSandboxConfig{
		Metadata:    meta,
		Hostname:    meta.Name,
		Annotations: annotations,
		Labels:      labels,
		Linux:       linux,
	}, nil
}

// forEach goes on after a failure: clean-up should get as far as it can.
func forEach(ids []string, do func(string) error) error {
	var failures []error
	done := []string{}
	for _, id := range ids {
		if err := do(id); err != nil {
			failures = append(failures, fmt.Errorf("%s: %w", id, err))
			continue
		}
		done = append(done, id)
	}
	if err := printJSON(map[string]any{"ids": done}); err != nil {
		return err
	}
	return errors.Join(failures...)
}

// marshal also prints unset fields, so that a reader can rely on each key.
func marshal(message proto.Message) (json.RawMessage, error) {
	return protojson.MarshalOptions{EmitUnpopulated: true}.Marshal(message)
}

// printStatus merges a status with the runtime's "info": strings that mostly hold JSON themselves.
func printStatus(status proto.Message, info map[string]string) error {
	text, err := marshal(status)
	if err != nil {
		return err
	}
	decoded := map[string]any{}
	for key, value := range info {
		if json.Valid([]byte(value)) {
			decoded[key] = json.RawMessage(value)
		} else {
			decoded[key] = value
		}
	}
	return printJSON(map[string]any{"status": text, "info": decoded})
}

func printJSON(value any) error {
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}

package faults

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"

	"auditlog/test/stack"
)

// nodes are the processes of the service, which come and go.
type nodes struct {
	world *stack.World

	mu      sync.Mutex
	apis    []*stack.Node
	workers []*stack.Node
}

func startNodes(w *stack.World) *nodes {
	return &nodes{world: w, apis: []*stack.Node{w.API(), w.API()}, workers: []*stack.Node{w.Worker(), w.Worker()}}
}

func (n *nodes) urls() (urls []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, api := range n.apis {
		urls = append(urls, api.URL)
	}
	return urls
}

func (n *nodes) api(i int) *stack.Node {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.apis[i%len(n.apis)]
}

func (n *nodes) worker(i int) *stack.Node {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.workers[i]
}

// said is the end of what the processes say, and their metrics, for a failure.
func (n *nodes) said() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var b strings.Builder
	for _, node := range slices.Concat(n.workers, n.apis) {
		text := node.Output.String()
		fmt.Fprintf(&b, "%s %s\n%s\n", node.URL, node.Ops, text[max(0, len(text)-3000):])
	}
	for _, node := range n.workers {
		metrics, _, err := stack.Call(node.Ops, "", http.MethodGet, "/metrics", "")
		fmt.Fprintf(&b, "metrics of %s: %v\n", node.Ops, err)
		for line := range strings.Lines(string(metrics)) {
			if strings.HasPrefix(line, "auditlog_") && !strings.Contains(line, "_bucket{") && !strings.HasSuffix(line, " 0\n") {
				b.WriteString(line)
			}
		}
	}
	return b.String()
}

// replaceAPI starts another in the place of one that has ended.
func (n *nodes) replaceAPI(i int) {
	node := n.world.API()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.apis[i] = node
}

func (n *nodes) replaceWorker(i int) {
	node := n.world.Worker()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.workers[i] = node
}

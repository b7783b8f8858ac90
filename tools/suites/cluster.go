// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// cluster is the Kafka cluster of a run: what packages find in their environment.
type cluster struct {
	Bootstrap string
	Dir       string // holds its pids, see tools/kafka.sh
}

// startCluster starts a cluster of its own in a new folder. missing says what this machine lacks for it.
func startCluster(ctx context.Context) (c *cluster, missing string, err error) {
	if !installed("java") {
		return nil, "java is not installed (17 or newer; the cluster runs on it)", nil
	}
	jars := filepath.Join(".cache", "kafka")
	if !installed("mvn") {
		if found, _ := filepath.Glob(filepath.Join(jars, "kafka_2.13-*.jar")); found == nil {
			return nil, "mvn is not installed (it downloads the jars of Kafka)", nil
		}
	}
	if _, err := script(ctx, "jars", jars); err != nil {
		return nil, "", err
	}
	dir, err := os.MkdirTemp("", "autobus-kafka-")
	if err != nil {
		return nil, "", err
	}
	data := filepath.Join(dir, "cluster")
	port, err := freePorts()
	if err != nil {
		return nil, "", err
	}
	boot, err := script(ctx, "start", jars, data, fmt.Sprint(port))
	c = &cluster{Bootstrap: strings.TrimSpace(boot), Dir: data}
	if err != nil {
		c.stop()
		return nil, "", err
	}
	return c, "", nil
}

func installed(program string) bool {
	_, err := exec.LookPath(program)
	return err == nil
}

// stop ends the cluster and deletes its data. It works on the recorded pids, so it also ends what a test restarted.
func (c *cluster) stop() {
	// Not the run's context: an interrupted run has to clean up too.
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if _, err := script(ctx, "wipe", c.Dir); err != nil {
		fmt.Fprintln(os.Stderr, "suites:", err)
	}
	if err := os.RemoveAll(filepath.Dir(c.Dir)); err != nil {
		fmt.Fprintln(os.Stderr, "suites:", err)
	}
}

func (c *cluster) env() []string {
	if c == nil {
		return nil
	}
	return []string{"AUTOBUS_TEST_KAFKA=" + c.Bootstrap, "AUTOBUS_TEST_KAFKA_DIR=" + c.Dir}
}

// script runs tools/kafka.sh. Its output goes to files and not to pipes, which the brokers would keep open.
func script(ctx context.Context, args ...string) (string, error) {
	stdout, err := os.CreateTemp("", "autobus-kafka-sh-")
	if err != nil {
		return "", err
	}
	defer os.Remove(stdout.Name())
	defer stdout.Close()
	stderr, err := os.CreateTemp("", "autobus-kafka-sh-")
	if err != nil {
		return "", err
	}
	defer os.Remove(stderr.Name())
	defer stderr.Close()

	cmd := exec.CommandContext(ctx, filepath.Join("tools", "kafka.sh"), args...)
	cmd.Stdout, cmd.Stderr = stdout, stderr
	runErr := cmd.Run()
	out, err := os.ReadFile(stdout.Name())
	if err != nil {
		return "", err
	}
	if runErr != nil {
		said, _ := os.ReadFile(stderr.Name())
		return "", fmt.Errorf("tools/kafka.sh %s: %w\n%s", args[0], runErr, bytes.TrimSpace(said))
	}
	return string(out), nil
}

// freePorts finds a base port whose four ports are free. Kafka's ports have to be known before it starts, so another
// process may still take one in between; the script says so then.
func freePorts() (int, error) {
	for base := 29090; base < 31000; base += 100 {
		free := true
		for i := range 4 {
			l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", base+10*i))
			if err != nil {
				free = false
				break
			}
			free = free && l.Close() == nil
		}
		if free {
			return base, nil
		}
	}
	return 0, fmt.Errorf("no four free ports between 29090 and 31000 for the Kafka cluster")
}

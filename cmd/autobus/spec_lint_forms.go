// SPDX-License-Identifier: Apache-2.0

package main

import (
	"path/filepath"
	"strconv"
	"strings"

	"github.com/autobus-io/autobus/spec"
)

// The parts of SARIF 2.1.0 that code scanning reads.
type (
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool    sarifTool     `json:"tool"`
		Results []sarifResult `json:"results"`
	}
	sarifTool struct {
		Driver sarifDriver `json:"driver"`
	}
	sarifDriver struct {
		Name  string      `json:"name"`
		Rules []sarifRule `json:"rules"`
	}
	sarifRule struct {
		ID               string    `json:"id"`
		ShortDescription sarifText `json:"shortDescription"`
		FullDescription  sarifText `json:"fullDescription"`
		Help             sarifText `json:"help"`
	}
	sarifText struct {
		Text string `json:"text"`
	}
	sarifResult struct {
		RuleID       string             `json:"ruleId"`
		Level        string             `json:"level"`
		Message      sarifText          `json:"message"`
		Locations    []sarifLocation    `json:"locations,omitempty"`
		Suppressions []sarifSuppression `json:"suppressions,omitempty"`
	}
	sarifLocation struct {
		Physical sarifPhysical  `json:"physicalLocation"`
		Logical  []sarifLogical `json:"logicalLocations,omitempty"`
	}
	sarifPhysical struct {
		Artifact sarifArtifact `json:"artifactLocation"`
		Region   sarifRegion   `json:"region"`
	}
	sarifArtifact struct {
		URI string `json:"uri"`
	}
	sarifRegion struct {
		StartLine   int `json:"startLine"`
		StartColumn int `json:"startColumn,omitempty"`
	}
	sarifLogical struct {
		FullyQualifiedName string `json:"fullyQualifiedName"`
	}
	sarifSuppression struct {
		Kind          string `json:"kind"`
		Justification string `json:"justification"`
	}
)

// sarif makes one run of all findings; a waived one is a suppression.
func sarif(dir string, found []spec.LintFinding) sarifLog {
	run := sarifRun{Tool: sarifTool{Driver: sarifDriver{Name: "autobus"}}, Results: []sarifResult{}}
	for _, r := range spec.Rules() {
		run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, sarifRule{ID: r.ID, ShortDescription: sarifText{r.Title},
			FullDescription: sarifText{r.Why}, Help: sarifText{r.Mend}})
	}
	levels := map[spec.Severity]string{spec.SeverityError: "error", spec.SeverityWarning: "warning",
		spec.SeverityHint: "note"}
	for _, f := range found {
		result := sarifResult{RuleID: f.Rule, Level: levels[f.Severity], Message: sarifText{f.Message + ". " + f.Hint}}
		if f.File != "" {
			at := sarifLocation{Physical: sarifPhysical{sarifArtifact{inFolder(dir, f.File)},
				sarifRegion{max(f.Line, 1), f.Column}}}
			if f.Pointer != "" {
				at.Logical = []sarifLogical{{f.Pointer}}
			}
			result.Locations = []sarifLocation{at}
		}
		if f.Waived != "" {
			result.Suppressions = []sarifSuppression{{"inSource", f.Waived}}
		}
		run.Results = append(run.Results, result)
	}
	return sarifLog{"https://json.schemastore.org/sarif-2.1.0.json", "2.1.0", []sarifRun{run}}
}

// annotation is the command by which a workflow run shows a finding beside its line.
func annotation(dir string, f spec.LintFinding) string {
	level := string(f.Severity)
	if f.Severity == spec.SeverityHint {
		level = "notice"
	}
	var at []string
	if f.File != "" {
		at = append(at, "file="+property(inFolder(dir, f.File)), "line="+strconv.Itoa(max(f.Line, 1)))
		if f.Column > 0 {
			at = append(at, "col="+strconv.Itoa(f.Column))
		}
	}
	at = append(at, "title="+property(f.Rule))
	return "::" + level + " " + strings.Join(at, ",") + "::" + escaped(f.Message+". "+f.Hint)
}

// inFolder is the path of a file as seen from where the command runs.
func inFolder(dir, file string) string {
	return filepath.ToSlash(filepath.Join(dir, filepath.FromSlash(file)))
}

func escaped(s string) string {
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A").Replace(s)
}

func property(s string) string {
	return strings.NewReplacer(":", "%3A", ",", "%2C").Replace(escaped(s))
}

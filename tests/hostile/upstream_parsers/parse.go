// What Go reads in an MCP request, as its servers do: into a struct, whose keys encoding/json finds whatever their case.
// A line in: the bytes in base64. A line out: method, name and arguments, in the notation of parse.mjs, or "error".
package main

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"sort"
	"strings"
)

type message struct {
	Method *string `json:"method"`
	Params struct {
		Name      *string          `json:"name"`
		Arguments *json.RawMessage `json:"arguments"`
	} `json:"params"`
}

func text(value string) string { return fmt.Sprintf("s%x;", value) }

func notation(value any) string {
	switch value := value.(type) {
	case nil:
		return "null;"
	case bool:
		return fmt.Sprintf("%t;", value)
	case float64:
		return fmt.Sprintf("n%016x;", math.Float64bits(value))
	case string:
		return text(value)
	case []any:
		var items strings.Builder
		for _, item := range value {
			items.WriteString(notation(item))
		}
		return "[" + items.String() + "]"
	case map[string]any:
		members := make([][2]string, 0, len(value))
		for key, item := range value {
			members = append(members, [2]string{text(key), notation(item)})
		}
		sort.Slice(members, func(one, other int) bool { return members[one][0] < members[other][0] })
		var all strings.Builder
		for _, member := range members {
			all.WriteString(member[0] + member[1])
		}
		return "{" + all.String() + "}"
	}
	panic("encoding/json has no other types")
}

func optional(value *string) string {
	if value == nil {
		return "absent;"
	}
	return text(*value)
}

func read(data []byte) string {
	var found message
	if json.Unmarshal(data, &found) != nil {
		return "error"
	}
	arguments := "absent;"
	if found.Params.Arguments != nil {
		var value any
		if json.Unmarshal(*found.Params.Arguments, &value) != nil {
			return "error"
		}
		arguments = notation(value)
	}
	return strings.Join([]string{optional(found.Method), optional(found.Params.Name), arguments}, " ")
}

func main() {
	lines := bufio.NewReader(os.Stdin)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return
		}
		data, err := base64.StdEncoding.DecodeString(strings.TrimSpace(line))
		if err != nil {
			panic(err)
		}
		fmt.Println(read(data))
	}
}

package awsapi

import "strings"

var (
	levels   = map[byte]string{'L': "List", 'R': "Read", 'T': "Tagging", 'W': "Write", 'P': "Permissions management"}
	keyTypes = map[byte]string{'S': "String", 'L': "ArrayOfString", 'A': "ARN", 'M': "ArrayOfARN", 'B': "Bool", 'C': "ArrayOfBool",
		'N': "Numeric", 'D': "Date", 'I': "IPAddress"}
)

// actionNames are the names of the actions in the reference's section of a block,
// in its order.
func actionNames(section string) []string {
	var names []string
	for _, line := range actionLines(section) {
		name, _, _ := strings.Cut(line, " ")
		names = append(names, name)
	}
	return names
}

func actionLines(section string) []string {
	lines := strings.Split(strings.TrimSuffix(section, "\n"), "\n")
	for i := 3; i < len(lines); i++ { // a name, keys and dependent actions
		if !strings.HasPrefix(lines[i], "/") {
			return lines[i:]
		}
	}
	return nil
}

// parseService reads the reference's section of a block.
func parseService(prefix, section string) *Service {
	lines := strings.Split(strings.TrimSuffix(section, "\n"), "\n")
	s := &Service{Prefix: prefix, Name: lines[0], Actions: map[string]*Action{}, Types: map[string]*ResourceType{}, Keys: map[string]string{}}
	long := func(name string) string {
		if strings.HasPrefix(name, ":") {
			return prefix + name
		}
		return name
	}
	var keys, dependents, types []string
	for key := range strings.FieldsSeq(strings.TrimPrefix(lines[1], "#")) {
		name := long(key[1:])
		keys = append(keys, name)
		s.Keys[name] = keyTypes[key[0]]
	}
	for action := range strings.FieldsSeq(strings.TrimPrefix(lines[2], ">")) {
		dependents = append(dependents, long(action))
	}
	actions := actionLines(section)
	for _, line := range lines[3 : len(lines)-len(actions)] {
		fields := strings.Split(line[1:], "\t")
		t := &ResourceType{Name: fields[0], Keys: chosen(keys, fields[len(fields)-1])}
		for _, template := range fields[1 : len(fields)-1] {
			t.Templates = append(t.Templates, longTemplate(prefix, template))
		}
		s.Types[t.Name] = t
		types = append(types, t.Name)
	}
	for _, line := range actions {
		fields := strings.Split(line, " ")
		a := &Action{Name: fields[0], Level: levels[fields[1][0]], Types: typeUses(types, keys, fields[1][1:])}
		for _, field := range fields[2:] {
			if places, ok := strings.CutPrefix(field, ">"); ok {
				a.Dependent = chosen(dependents, places)
			} else {
				a.Keys = chosen(keys, field)
			}
		}
		s.Actions[a.Name] = a
	}
	return s
}

// typeUses reads the types of an action.
func typeUses(types, keys []string, text string) []TypeUse {
	if text == "" {
		return nil
	}
	var uses []TypeUse
	for one := range strings.SplitSeq(text, ",") {
		place, own, _ := strings.Cut(one, ":")
		place, required := strings.CutSuffix(place, "!")
		uses = append(uses, TypeUse{types[number(place)], required, chosen(keys, own)})
	}
	return uses
}

// chosen are the names at places, which have dots between.
func chosen(names []string, places string) []string {
	if places == "" {
		return nil
	}
	var all []string
	for place := range strings.SplitSeq(places, ".") {
		all = append(all, names[number(place)])
	}
	return all
}

// longTemplate is a template with what gen leaves out.
func longTemplate(prefix, template string) string {
	if rest, ok := strings.CutPrefix(template, "~"); ok {
		template = prefix + ":{Region}:{Account}:" + rest
	}
	return "arn:${Partition}:" + strings.ReplaceAll(template, "{", "${")
}

package question

import "strings"

// Roles that a call hands over without naming them: EC2 gets the role in an instance
// profile ("Use an IAM role to grant permissions to applications running on Amazon EC2
// instances" in the IAM User Guide), and who launches from a template what the template
// names ("IAM permissions required for Amazon EC2 launch templates" in the Amazon EC2
// User Guide: to make a template nothing of that is asked).

// profiled are operations that give instances a profile, by prefix.
var profiled = map[string]string{
	"ec2":         "RunInstances AssociateIamInstanceProfile ReplaceIamInstanceProfileAssociation RequestSpotInstances RequestSpotFleet",
	"autoscaling": "CreateLaunchConfiguration",
}

// launching are operations that launch instances from templates, by prefix. Of an Auto
// Scaling group the caller is asked when it chooses the template ("Control Amazon EC2
// launch template usage in Auto Scaling groups").
var launching = map[string]string{
	"ec2":         "RunInstances CreateFleet ModifyFleet RequestSpotFleet ModifySpotFleetRequest",
	"autoscaling": "CreateAutoScalingGroup UpdateAutoScalingGroup StartInstanceRefresh",
}

// passProfiles asks for the permission to hand the roles in instance profiles to EC2.
func passProfiles(a *asker) {
	var search launchSearch
	if hasWord(profiled[a.prefix], a.Operation) {
		search.profiles = []string{}
	}
	if hasWord(launching[a.prefix], a.Operation) {
		search.templates = []string{}
	}
	search.walk("", a.Input, 0)
	profiles := search.profiles
	if a.Operation != "RunInstances" || len(profiles) == 0 { // its own profile is in place of the template's
		for _, name := range unique(search.templates) {
			known, found := a.find(Fact{Kind: TemplateProfile, Name: name})
			switch {
			case !found:
				a.warn("iam:PassRole was not asked for launch template %s, whose instance profile is not known", name)
			case known.Text != "":
				profiles = append(profiles, known.Text)
			}
		}
	}
	instance := ""
	for _, q := range a.out {
		if r, _ := parseARN(q.Resource); strings.HasPrefix(r.resource, "instance/") {
			instance = q.Resource
		}
	}
	for _, name := range unique(profiles) {
		role, found := a.find(Fact{Kind: ProfileRole, Name: name})
		switch {
		case !found:
			a.warn("the role of instance profile %s is not known", name)
			arn := a.standard("arn:$P:iam::$A:role/")
			a.pass(target{arn: arn + sampleName, spelled: arn + "*", unknown: true}, "ec2.amazonaws.com", instance)
		case role.Text != "": // EC2 takes no profile without a role
			a.pass(target{arn: role.Text}, "ec2.amazonaws.com", instance)
		}
	}
}

// launchSearch looks for instance profiles, and for launch templates with a space and
// the version behind them. What is nil is not looked for.
type launchSearch struct {
	nodes               int
	profiles, templates []string
}

func (s *launchSearch) walk(name string, v any, depth int) {
	if s.nodes++; s.nodes > maxNodes || depth > 32 || s.profiles == nil && s.templates == nil {
		return
	}
	if len(s.profiles)+len(s.templates) > MaxQuestions {
		return
	}
	isProfile := s.profiles != nil && normal(name) == "iaminstanceprofile"
	switch v := v.(type) {
	case string:
		if isProfile && v != "" {
			s.profiles = append(s.profiles, v)
		}
	case []any:
		for _, entry := range v {
			s.walk(name, entry, depth+1)
		}
	case map[string]any:
		if profile := firstOf(v, "Arn", "Name"); isProfile && profile != "" {
			s.profiles = append(s.profiles, profile)
			return
		}
		if template := firstOf(v, "LaunchTemplateId", "LaunchTemplateName"); s.templates != nil && template != "" {
			version := str(v, "Version")
			if version == "" {
				version = "$Default"
			}
			s.templates = append(s.templates, template+" "+version)
		}
		for _, key := range sorted(v) {
			s.walk(key, v[key], depth+1)
		}
	}
}

// taskRoles asks for the permission to hand over the roles that the task definition of a
// call names, unless the call names others in their place (Amazon ECS Developer Guide,
// "Identity-based policy examples for Amazon Elastic Container Service").
func taskRoles(a *asker) {
	definition := str(a.Input, "taskDefinition")
	known, found := a.find(Fact{Kind: TaskRoles, Name: definition})
	if !found {
		a.warn("iam:PassRole was not asked for the roles of task definition %s, which are not known", definition)
		return
	}
	associated := ""
	if len(a.out) > 0 && a.out[0].Known {
		associated = a.out[0].Resource
	}
	for _, member := range []string{"taskRoleArn", "executionRoleArn"} {
		role := known.Pairs[member]
		if role == "" || str(a.Input, "overrides."+member) != "" {
			continue
		}
		if !strings.HasPrefix(role, "arn:") { // it may be a name
			role = a.standard("arn:$P:iam::$A:role/") + role
		}
		a.pass(target{arn: role}, a.family.passes, associated)
	}
}

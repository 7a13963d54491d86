package question_test

const (
	instancePolicies = "Amazon EC2 User Guide, Example policies to control access the Amazon EC2 API"
)

var instanceGuides = []guide{
	{
		name: "describing", source: instancePolicies,
		doc: document(allow("ec2:Describe*", "*")),
		calls: []guided{
			{"ec2.DescribeInstances", `{}`, true},
			{"ec2.DescribeVolumes", `{"VolumeIds":["vol-1"]}`, true},
			{"ec2.StopInstances", `{"InstanceIds":["i-1"]}`, false},
		},
	},
	{
		name: "no other region", source: instancePolicies,
		doc: document(allow("ec2:*", "*"), denyIf("ec2:*", "*", `{"StringNotEquals":{"ec2:Region":"eu-central-1"}}`)),
		calls: []guided{
			{"ec2.DescribeInstances", `{}`, false},
		},
	},
	{
		name: "this region", source: instancePolicies,
		doc: document(allow("ec2:*", "*"), denyIf("ec2:*", "*", `{"StringNotEquals":{"ec2:Region":"us-east-1"}}`)),
		calls: []guided{
			{"ec2.DescribeInstances", `{}`, true},
		},
	},
	{
		name: "all instances", source: instancePolicies,
		doc: document(allow("ec2:DescribeInstances ec2:DescribeImages ec2:DescribeKeyPairs ec2:DescribeSecurityGroups ec2:DescribeAvailabilityZones ec2:RunInstances "+
			"ec2:TerminateInstances ec2:StopInstances ec2:StartInstances", "*")),
		calls: []guided{
			{"ec2.RunInstances", `{"ImageId":"ami-1"}`, true},
			{"ec2.TerminateInstances", `{"InstanceIds":["i-1","i-2"]}`, true},
			{"ec2.RebootInstances", `{"InstanceIds":["i-1"]}`, false},
		},
	},
	{
		name: "some instances", source: instancePolicies,
		doc: document(allow("ec2:DescribeInstances", "*"), allow("ec2:StopInstances ec2:StartInstances", "~ec2:instance/i-1234567890abcdef0 ~ec2:instance/i-0598c7d356eba48d7"),
			allowIf("ec2:TerminateInstances", "~ec2:instance/*", `{"StringEquals":{"ec2:ResourceTag/purpose":"test"}}`)),
		calls: []guided{
			{"ec2.StopInstances", `{"InstanceIds":["i-1234567890abcdef0","i-0598c7d356eba48d7"]}`, true},
			{"ec2.StopInstances", `{"InstanceIds":["i-1234567890abcdef0","i-1"]}`, false},
			{"ec2.TerminateInstances", `{"InstanceIds":["i-2"]}`, true},
			{"ec2.TerminateInstances", `{"InstanceIds":["i-2","i-1"]}`, false},
		},
	},
	{
		name: "attaching volumes", source: instancePolicies,
		doc: document(allowIf("ec2:AttachVolume ec2:DetachVolume", "~ec2:instance/*", `{"StringEquals":{"ec2:ResourceTag/department":"dev"}}`),
			allowIf("ec2:AttachVolume ec2:DetachVolume", "~ec2:volume/*", `{"StringEquals":{"ec2:ResourceTag/volume_user":"${aws:PrincipalTag/team}"}}`)),
		calls: []guided{
			{"ec2.AttachVolume", `{"VolumeId":"vol-2","InstanceId":"i-2","Device":"/dev/sdf"}`, true},
			{"ec2.DetachVolume", `{"VolumeId":"vol-2","InstanceId":"i-2"}`, true},
			{"ec2.AttachVolume", `{"VolumeId":"vol-2","InstanceId":"i-1","Device":"/dev/sdf"}`, false},
			{"ec2.AttachVolume", `{"VolumeId":"vol-1","InstanceId":"i-2","Device":"/dev/sdf"}`, false},
		},
	},
	{
		name: "small encrypted volumes", source: instancePolicies,
		doc: document(allowIf("ec2:CreateVolume", "~ec2:volume/*", `{"NumericLessThan":{"ec2:VolumeSize":"20"},"Bool":{"ec2:Encrypted":"true"}}`)),
		calls: []guided{
			{"ec2.CreateVolume", `{"AvailabilityZone":"a","Size":19,"Encrypted":true}`, true},
			{"ec2.CreateVolume", `{"AvailabilityZone":"a","Size":20,"Encrypted":true}`, false},
			{"ec2.CreateVolume", `{"AvailabilityZone":"a","Size":19,"Encrypted":false}`, false},
		},
	},
	{
		name: "tagged volumes", source: instancePolicies,
		doc: document(allowIf("ec2:CreateVolume", "~ec2:volume/*", `{"StringEquals":{"aws:RequestTag/costcenter":"115","aws:RequestTag/stack":"prod"},"ForAllValues:StringEquals":{"aws:TagKeys":["costcenter","stack"]}}`),
			allowIf("ec2:CreateTags", "~ec2:volume/*", `{"StringEquals":{"ec2:CreateAction":"CreateVolume"}}`)),
		calls: []guided{
			{"ec2.CreateVolume", `{"AvailabilityZone":"a","Size":1,"TagSpecifications":[{"ResourceType":"volume","Tags":[{"Key":"costcenter","Value":"115"},{"Key":"stack","Value":"prod"}]}]}`, true},
			{"ec2.CreateVolume", `{"AvailabilityZone":"a","Size":1,"TagSpecifications":[{"ResourceType":"volume","Tags":[{"Key":"costcenter","Value":"115"},{"Key":"stack","Value":"prod"},{"Key":"more","Value":"x"}]}]}`, false},
			{"ec2.CreateVolume", `{"AvailabilityZone":"a","Size":1}`, false},
			{"ec2.CreateTags", `{"Resources":["vol-1"],"Tags":[{"Key":"stack","Value":"prod"}]}`, false},
		},
	},
	{
		name: "volumes with one tag or none", source: instancePolicies,
		doc: document(allow("ec2:CreateVolume", "*"), allowIf("ec2:CreateTags", "~ec2:volume/*",
			`{"StringEquals":{"aws:RequestTag/purpose":"test","ec2:CreateAction":"CreateVolume"},"ForAllValues:StringEquals":{"aws:TagKeys":"purpose"}}`)),
		calls: []guided{
			{"ec2.CreateVolume", `{"AvailabilityZone":"a","Size":1}`, true},
			{"ec2.CreateVolume", `{"AvailabilityZone":"a","Size":1,"TagSpecifications":[{"ResourceType":"volume","Tags":[{"Key":"purpose","Value":"test"}]}]}`, true},
			{"ec2.CreateVolume", `{"AvailabilityZone":"a","Size":1,"TagSpecifications":[{"ResourceType":"volume","Tags":[{"Key":"purpose","Value":"prod"}]}]}`, false},
		},
	},
	{
		name: "tagged snapshots", source: instancePolicies,
		doc: document(allow("ec2:CreateSnapshot", "~ec2:volume/*"), allowIf("ec2:CreateSnapshot", "arn:aws:ec2:us-east-1::snapshot/*", `{"StringEquals":{"aws:RequestTag/costcenter":"115","aws:RequestTag/stack":"prod"},"ForAllValues:StringEquals":{"aws:TagKeys":["costcenter","stack"]}}`),
			allowIf("ec2:CreateTags", "arn:aws:ec2:us-east-1::snapshot/*", `{"StringEquals":{"ec2:CreateAction":"CreateSnapshot"}}`)),
		calls: []guided{
			{"ec2.CreateSnapshot", `{"VolumeId":"vol-1","TagSpecifications":[{"ResourceType":"snapshot","Tags":[{"Key":"costcenter","Value":"115"},{"Key":"stack","Value":"prod"}]}]}`, true},
			{"ec2.CreateSnapshot", `{"VolumeId":"vol-1","TagSpecifications":[{"ResourceType":"snapshot","Tags":[{"Key":"stack","Value":"prod"}]}]}`, false},
			{"ec2.CreateSnapshot", `{"VolumeId":"vol-1"}`, false},
		},
	},
	{
		name: "snapshots with one tag or none", source: instancePolicies,
		doc: document(allow("ec2:CreateSnapshots", "*"), allowIf("ec2:CreateTags", "arn:aws:ec2:us-east-1::snapshot/*",
			`{"StringEquals":{"aws:RequestTag/purpose":"test","ec2:CreateAction":"CreateSnapshots"},"ForAllValues:StringEquals":{"aws:TagKeys":"purpose"}}`)),
		calls: []guided{
			{"ec2.CreateSnapshots", `{"InstanceSpecification":{"InstanceId":"i-1"}}`, true},
			{"ec2.CreateSnapshots", `{"InstanceSpecification":{"InstanceId":"i-1"},"TagSpecifications":[{"ResourceType":"snapshot","Tags":[{"Key":"purpose","Value":"test"}]}]}`, true},
			{"ec2.CreateSnapshots", `{"InstanceSpecification":{"InstanceId":"i-1"},"TagSpecifications":[{"ResourceType":"snapshot","Tags":[{"Key":"other","Value":"test"}]}]}`, false},
		},
	},
	{
		name: "snapshots of one's volumes", source: instancePolicies,
		doc: document(allowIf("ec2:CreateSnapshot", "~ec2:volume/*", `{"StringEquals":{"ec2:ResourceTag/User":"${aws:PrincipalTag/team}"}}`),
			allowIf("ec2:CreateSnapshot", "arn:aws:ec2:us-east-1::snapshot/*", `{"StringEquals":{"aws:RequestTag/Environment":"Dev","aws:RequestTag/User":"${aws:PrincipalTag/team}"}}`),
			allow("ec2:CreateTags", "arn:aws:ec2:us-east-1::snapshot/*")),
		calls: []guided{
			{"ec2.CreateSnapshot", `{"VolumeId":"vol-2","TagSpecifications":[{"ResourceType":"snapshot","Tags":[{"Key":"Environment","Value":"Dev"},{"Key":"User","Value":"red"},{"Key":"more","Value":"x"}]}]}`, true},
			{"ec2.CreateSnapshot", `{"VolumeId":"vol-1","TagSpecifications":[{"ResourceType":"snapshot","Tags":[{"Key":"Environment","Value":"Dev"},{"Key":"User","Value":"red"}]}]}`, false},
			{"ec2.CreateSnapshot", `{"VolumeId":"vol-2","TagSpecifications":[{"ResourceType":"snapshot","Tags":[{"Key":"User","Value":"red"}]}]}`, false},
		},
	},
	{
		name: "deleting one's snapshots", source: instancePolicies,
		doc: document(allowIf("ec2:DeleteSnapshot ec2:ModifySnapshotAttribute", "arn:aws:ec2:us-east-1::snapshot/*", `{"StringEquals":{"ec2:ResourceTag/User":"${aws:PrincipalTag/team}"}}`)),
		calls: []guided{
			{"ec2.DeleteSnapshot", `{"SnapshotId":"snap-2"}`, true},
			{"ec2.DeleteSnapshot", `{"SnapshotId":"snap-1"}`, false},
			{"ec2.ModifySnapshotAttribute", `{"SnapshotId":"snap-2","Attribute":"createVolumePermission"}`, true},
		},
	},
	{
		name: "no snapshots with a tag", source: instancePolicies,
		doc: document(allow("ec2:CreateSnapshot ec2:CreateTags", "*"), denyIf("ec2:CreateSnapshot", "arn:aws:ec2:us-east-1::snapshot/*", `{"ForAnyValue:StringEquals":{"aws:TagKeys":"stack"}}`)),
		calls: []guided{
			{"ec2.CreateSnapshot", `{"VolumeId":"vol-1"}`, true},
			{"ec2.CreateSnapshot", `{"VolumeId":"vol-1","TagSpecifications":[{"ResourceType":"snapshot","Tags":[{"Key":"a","Value":"b"}]}]}`, true},
			{"ec2.CreateSnapshot", `{"VolumeId":"vol-1","TagSpecifications":[{"ResourceType":"snapshot","Tags":[{"Key":"stack","Value":"b"}]}]}`, false},
		},
	},
	{
		name: "snapshots in a region", source: instancePolicies,
		doc: document(allowIf("ec2:CreateSnapshots ec2:CreateSnapshot ec2:CreateTags", "arn:aws:ec2:*:*:instance/* arn:aws:ec2:*:*:snapshot/* arn:aws:ec2:*:*:volume/*",
			`{"StringEqualsIgnoreCase":{"ec2:Region":"us-east-1"},"StringLikeIfExists":{"ec2:InstanceType":["t2.*"]}}`)),
		calls: []guided{
			{"ec2.CreateSnapshot", `{"VolumeId":"vol-1","TagSpecifications":[{"ResourceType":"snapshot","Tags":[{"Key":"a","Value":"b"}]}]}`, true},
			{"ec2.DeleteSnapshot", `{"SnapshotId":"snap-1"}`, false},
		},
	},
	{
		name: "two images", source: instancePolicies,
		doc: document(allow("ec2:RunInstances", "arn:aws:ec2:us-east-1::image/ami-9e1670f7 arn:aws:ec2:us-east-1::image/ami-45cf5c3c ~ec2:instance/* ~ec2:subnet/* ~ec2:volume/* ~ec2:network-interface/* ~ec2:key-pair/* ~ec2:security-group/*")),
		calls: []guided{
			{"ec2.RunInstances", `{"ImageId":"ami-9e1670f7","KeyName":"k","SubnetId":"subnet-1","SecurityGroupIds":["sg-1"]}`, true},
			{"ec2.RunInstances", `{"ImageId":"ami-1"}`, false},
		},
	},
	{
		name: "two types", source: instancePolicies,
		doc: document(allowIf("ec2:RunInstances", "~ec2:instance/*", `{"StringEquals":{"ec2:InstanceType":["t2.micro","t2.small"]}}`), allow("ec2:RunInstances", "arn:aws:ec2:us-east-1::image/ami-* ~ec2:subnet/* ~ec2:volume/* ~ec2:network-interface/* ~ec2:key-pair/* ~ec2:security-group/*")),
		calls: []guided{
			{"ec2.RunInstances", `{"ImageId":"ami-1","InstanceType":"t2.small"}`, true},
			{"ec2.RunInstances", `{"ImageId":"ami-1","InstanceType":"m5.large"}`, false},
			{"ec2.RunInstances", `{"ImageId":"ami-1"}`, false},
		},
	},
	{
		name: "no other types", source: instancePolicies,
		doc: document(denyIf("ec2:RunInstances", "~ec2:instance/*", `{"StringNotEquals":{"ec2:InstanceType":["t2.micro","t2.small"]}}`), allow("ec2:RunInstances", "arn:aws:ec2:us-east-1::image/ami-* ~ec2:instance/* ~ec2:subnet/* ~ec2:volume/* ~ec2:network-interface/* ~ec2:key-pair/* ~ec2:security-group/*")),
		calls: []guided{
			{"ec2.RunInstances", `{"ImageId":"ami-1","InstanceType":"t2.small"}`, true},
			{"ec2.RunInstances", `{"ImageId":"ami-1","InstanceType":"m5.large"}`, false},
		},
	},
	{
		name: "one subnet", source: instancePolicies,
		doc: document(allow("ec2:RunInstances", "~ec2:subnet/subnet-12345678 ~ec2:network-interface/* ~ec2:instance/* ~ec2:volume/* arn:aws:ec2:us-east-1::image/ami-* ~ec2:key-pair/* ~ec2:security-group/*")),
		calls: []guided{
			{"ec2.RunInstances", `{"ImageId":"ami-1","SubnetId":"subnet-12345678"}`, true},
			{"ec2.RunInstances", `{"ImageId":"ami-1","NetworkInterfaces":[{"DeviceIndex":0,"SubnetId":"subnet-12345678"}]}`, true},
			{"ec2.RunInstances", `{"ImageId":"ami-1","SubnetId":"subnet-1"}`, false},
			{"ec2.RunInstances", `{"ImageId":"ami-1"}`, false},
		},
	},
	{
		name: "no other subnet", source: instancePolicies,
		doc: document(denyIf("ec2:RunInstances", "~ec2:network-interface/*", `{"ArnNotEquals":{"ec2:Subnet":"~ec2:subnet/subnet-12345678"}}`), allow("ec2:RunInstances", "arn:aws:ec2:us-east-1::image/ami-* ~ec2:instance/* ~ec2:subnet/* ~ec2:volume/* ~ec2:network-interface/* ~ec2:key-pair/* ~ec2:security-group/*")),
		calls: []guided{
			{"ec2.RunInstances", `{"ImageId":"ami-1","SubnetId":"subnet-12345678"}`, true},
			{"ec2.RunInstances", `{"ImageId":"ami-1","SubnetId":"subnet-1"}`, false},
		},
	},
	{
		name: "encrypted volumes of instances", source: instancePolicies,
		doc: document(allowIf("ec2:RunInstances", "arn:aws:ec2:*:*:volume/*", `{"Bool":{"ec2:Encrypted":"true"}}`), allow("ec2:RunInstances", "arn:aws:ec2:us-east-1::image/ami-* ~ec2:instance/* ~ec2:subnet/* ~ec2:network-interface/* ~ec2:key-pair/* ~ec2:security-group/*")),
		calls: []guided{
			{"ec2.RunInstances", `{"ImageId":"ami-1","BlockDeviceMappings":[{"DeviceName":"/dev/sda1","Ebs":{"Encrypted":true}}]}`, true},
			{"ec2.RunInstances", `{"ImageId":"ami-1","BlockDeviceMappings":[{"DeviceName":"/dev/sda1","Ebs":{"Encrypted":false}}]}`, false},
		},
	},
	{
		name: "tags of new instances", source: instancePolicies,
		doc: document(allow("ec2:RunInstances", "*"), allowIf("ec2:CreateTags", "~ec2:instance/*", `{"StringEquals":{"ec2:CreateAction":"RunInstances"}}`)),
		calls: []guided{
			{"ec2.RunInstances", `{"ImageId":"ami-1","TagSpecifications":[{"ResourceType":"instance","Tags":[{"Key":"a","Value":"b"}]}]}`, true},
			{"ec2.RunInstances", `{"ImageId":"ami-1","TagSpecifications":[{"ResourceType":"instance","Tags":[{"Key":"a","Value":"b"}]},{"ResourceType":"volume","Tags":[{"Key":"a","Value":"b"}]}]}`, false},
			{"ec2.CreateTags", `{"Resources":["i-1"],"Tags":[{"Key":"a","Value":"b"}]}`, false},
		},
	},
	{
		name: "tagged instances and volumes", source: instancePolicies,
		doc: document(allow("ec2:RunInstances", "arn:aws:ec2:us-east-1::image/* ~ec2:subnet/* ~ec2:network-interface/* ~ec2:security-group/* ~ec2:key-pair/*"), allowIf("ec2:RunInstances", "~ec2:volume/* ~ec2:instance/*",
			`{"StringEquals":{"aws:RequestTag/environment":"production","aws:RequestTag/purpose":"webserver"},"ForAllValues:StringEquals":{"aws:TagKeys":["environment","purpose"]}}`),
			allowIf("ec2:CreateTags", "~ec2:*/*", `{"StringEquals":{"ec2:CreateAction":"RunInstances"}}`)),
		calls: []guided{
			{"ec2.RunInstances", `{"ImageId":"ami-1","TagSpecifications":[{"ResourceType":"instance","Tags":[{"Key":"environment","Value":"production"},{"Key":"purpose","Value":"webserver"}]},{"ResourceType":"volume","Tags":[{"Key":"environment","Value":"production"},{"Key":"purpose","Value":"webserver"}]}]}`, true},
			{"ec2.RunInstances", `{"ImageId":"ami-1","TagSpecifications":[{"ResourceType":"instance","Tags":[{"Key":"environment","Value":"production"},{"Key":"purpose","Value":"webserver"}]}]}`, false},
			{"ec2.RunInstances", `{"ImageId":"ami-1"}`, false},
		},
	},
	{
		name: "one of two tags", source: instancePolicies,
		doc: document(allow("ec2:RunInstances", "arn:aws:ec2:us-east-1::image/* ~ec2:subnet/* ~ec2:network-interface/* ~ec2:security-group/* ~ec2:key-pair/*"), allowIf("ec2:RunInstances", "~ec2:volume/* ~ec2:instance/*", `{"ForAnyValue:StringEquals":{"aws:TagKeys":["environment","webserver"]}}`),
			allowIf("ec2:CreateTags", "~ec2:*/*", `{"StringEquals":{"ec2:CreateAction":"RunInstances"}}`)),
		calls: []guided{
			{"ec2.RunInstances", `{"ImageId":"ami-1","TagSpecifications":[{"ResourceType":"instance","Tags":[{"Key":"environment","Value":"x"},{"Key":"more","Value":"y"}]},{"ResourceType":"volume","Tags":[{"Key":"environment","Value":"x"},{"Key":"more","Value":"y"}]}]}`, true},
			{"ec2.RunInstances", `{"ImageId":"ami-1","TagSpecifications":[{"ResourceType":"instance","Tags":[{"Key":"other","Value":"x"}]},{"ResourceType":"volume","Tags":[{"Key":"other","Value":"x"}]}]}`, false},
		},
	},
	{
		name: "instances with one tag or none", source: instancePolicies,
		doc: document(allow("ec2:RunInstances", "*"), allowIf("ec2:CreateTags", "~ec2:*/*",
			`{"StringEquals":{"aws:RequestTag/purpose":"test","ec2:CreateAction":"RunInstances"},"ForAllValues:StringEquals":{"aws:TagKeys":"purpose"}}`)),
		calls: []guided{
			{"ec2.RunInstances", `{"ImageId":"ami-1"}`, true},
			{"ec2.RunInstances", `{"ImageId":"ami-1","TagSpecifications":[{"ResourceType":"instance","Tags":[{"Key":"purpose","Value":"test"}]},{"ResourceType":"volume","Tags":[{"Key":"purpose","Value":"test"}]}]}`, true},
			{"ec2.RunInstances", `{"ImageId":"ami-1","TagSpecifications":[{"ResourceType":"instance","Tags":[{"Key":"purpose","Value":"test"},{"Key":"a","Value":"b"}]}]}`, false},
		},
	},
	{
		name: "one template, as it is", source: instancePolicies,
		doc: document(allowIf("ec2:RunInstances", "*", `{"ArnLike":{"ec2:LaunchTemplate":"~ec2:launch-template/lt-09477bcd97b0d310e"},"Bool":{"ec2:IsLaunchTemplateResource":"true"}}`),
			allowIf("ec2:CreateTags", "~ec2:instance/*", `{"StringEquals":{"ec2:CreateAction":"RunInstances"}}`)),
		calls: []guided{
			{"ec2.RunInstances", `{"LaunchTemplate":{"LaunchTemplateId":"lt-09477bcd97b0d310e"}}`, true},
			{"ec2.RunInstances", `{"LaunchTemplate":{"LaunchTemplateId":"lt-09477bcd97b0d310e"},"ImageId":"ami-1"}`, false},
			{"ec2.RunInstances", `{"LaunchTemplate":{"LaunchTemplateId":"lt-09477bcd97b0d310e"},"SubnetId":"subnet-1"}`, false},
			{"ec2.RunInstances", `{"LaunchTemplate":{"LaunchTemplateId":"lt-2"}}`, false},
			{"ec2.RunInstances", `{"ImageId":"ami-1"}`, false},
		},
	},
	{
		name: "one template", source: instancePolicies,
		doc: document(allowIf("ec2:RunInstances", "*", `{"ArnLike":{"ec2:LaunchTemplate":"~ec2:launch-template/lt-09477bcd97b0d310e"}}`)),
		calls: []guided{
			{"ec2.RunInstances", `{"LaunchTemplate":{"LaunchTemplateId":"lt-09477bcd97b0d310e"},"ImageId":"ami-1"}`, true},
			{"ec2.RunInstances", `{"LaunchTemplate":{"LaunchTemplateId":"lt-2"}}`, false},
			{"ec2.RunInstances", `{"ImageId":"ami-1"}`, false},
		},
	},
	{
		name: "a template's network", source: instancePolicies,
		doc: document(`{"Effect":"Allow","Action":"ec2:RunInstances","NotResource":["arn:aws:ec2:us-east-1:123456789012:subnet/*","arn:aws:ec2:us-east-1:123456789012:network-interface/*"],
			"Condition":{"ArnLike":{"ec2:LaunchTemplate":"arn:aws:ec2:us-east-1:123456789012:launch-template/*"}}}`,
			allowIf("ec2:RunInstances", "~ec2:subnet/* ~ec2:network-interface/*", `{"ArnLike":{"ec2:LaunchTemplate":"~ec2:launch-template/*"},"Bool":{"ec2:IsLaunchTemplateResource":"true"}}`)),
		calls: []guided{
			{"ec2.RunInstances", `{"LaunchTemplate":{"LaunchTemplateId":"lt-09477bcd97b0d310e"},"ImageId":"ami-1"}`, true},
			{"ec2.RunInstances", `{"LaunchTemplate":{"LaunchTemplateId":"lt-09477bcd97b0d310e"},"SubnetId":"subnet-1"}`, false},
			{"ec2.RunInstances", `{"LaunchTemplate":{"LaunchTemplateId":"lt-09477bcd97b0d310e"},"NetworkInterfaces":[{"DeviceIndex":0}]}`, false},
			{"ec2.RunInstances", `{"ImageId":"ami-1"}`, false},
		},
	},
	{
		name: "tagged templates", source: instancePolicies,
		doc: document(`{"Effect":"Allow","Action":"ec2:RunInstances","NotResource":"arn:aws:ec2:us-east-1:123456789012:launch-template/*",
			"Condition":{"ArnLike":{"ec2:LaunchTemplate":"arn:aws:ec2:us-east-1:123456789012:launch-template/*"},"Bool":{"ec2:IsLaunchTemplateResource":"true"}}}`,
			allowIf("ec2:RunInstances", "~ec2:launch-template/*", `{"StringEquals":{"ec2:ResourceTag/Purpose":"Webservers"}}`)),
		calls: []guided{
			{"ec2.RunInstances", `{"LaunchTemplate":{"LaunchTemplateId":"lt-1"}}`, true},
			{"ec2.RunInstances", `{"LaunchTemplate":{"LaunchTemplateId":"lt-2"}}`, false},
		},
	},
	{
		name: "no tags of new things", source: instancePolicies,
		doc: document(allow("ec2:RunInstances", "arn:aws:ec2:us-east-1::image/* ~ec2:subnet/* ~ec2:network-interface/* ~ec2:security-group/* ~ec2:key-pair/* ~ec2:volume/* ~ec2:instance/* ~ec2:spot-instances-request/*"), statement("Deny", "ec2:CreateTags", "*", "")),
		calls: []guided{
			{"ec2.RunInstances", `{"ImageId":"ami-1","InstanceMarketOptions":{"MarketType":"spot"}}`, true},
			{"ec2.RunInstances", `{"ImageId":"ami-1","TagSpecifications":[{"ResourceType":"instance","Tags":[{"Key":"a","Value":"b"}]}]}`, false},
			{"ec2.RunInstances", `{"ImageId":"ami-1","InstanceMarketOptions":{"MarketType":"spot"},"TagSpecifications":[{"ResourceType":"spot-instances-request","Tags":[{"Key":"a","Value":"b"}]}]}`, false},
		},
	},
	{
		name: "tagged spot requests", source: instancePolicies,
		doc: document(allow("ec2:RunInstances", "arn:aws:ec2:us-east-1::image/* ~ec2:subnet/* ~ec2:network-interface/* ~ec2:security-group/* ~ec2:key-pair/* ~ec2:volume/* ~ec2:instance/* ~ec2:spot-instances-request/*"), allow("ec2:CreateTags", "*")),
		calls: []guided{
			{"ec2.RunInstances", `{"ImageId":"ami-1","InstanceMarketOptions":{"MarketType":"spot"},"TagSpecifications":[{"ResourceType":"spot-instances-request","Tags":[{"Key":"a","Value":"b"}]}]}`, true},
			{"ec2.RunInstances", `{"ImageId":"ami-1","InstanceMarketOptions":{"MarketType":"spot"}}`, true},
			{"ec2.TerminateInstances", `{"InstanceIds":["i-1"]}`, false},
		},
	},
	{
		name: "no spot requests with a tag", source: instancePolicies,
		doc: document(allow("ec2:RunInstances", "arn:aws:ec2:us-east-1::image/* ~ec2:subnet/* ~ec2:network-interface/* ~ec2:security-group/* ~ec2:key-pair/* ~ec2:volume/* ~ec2:instance/* ~ec2:spot-instances-request/*"), allow("ec2:CreateTags", "*"),
			denyIf("ec2:RunInstances", "~ec2:spot-instances-request/*", `{"StringEquals":{"aws:RequestTag/environment":"production"}}`)),
		calls: []guided{
			{"ec2.RunInstances", `{"ImageId":"ami-1","InstanceMarketOptions":{"MarketType":"spot"}}`, true},
			{"ec2.RunInstances", `{"ImageId":"ami-1","InstanceMarketOptions":{"MarketType":"spot"},"TagSpecifications":[{"ResourceType":"spot-instances-request","Tags":[{"Key":"environment","Value":"test"}]}]}`, true},
			{"ec2.RunInstances", `{"ImageId":"ami-1","InstanceMarketOptions":{"MarketType":"spot"},"TagSpecifications":[{"ResourceType":"spot-instances-request","Tags":[{"Key":"environment","Value":"production"}]}]}`, false},
		},
	},
	{
		name: "spot requests that are not tagged", source: instancePolicies,
		doc: document(allow("ec2:RunInstances", "arn:aws:ec2:us-east-1::image/* ~ec2:subnet/* ~ec2:network-interface/* ~ec2:security-group/* ~ec2:key-pair/* ~ec2:volume/* ~ec2:instance/*"), allow("ec2:CreateTags", "*")),
		calls: []guided{
			{"ec2.RunInstances", `{"ImageId":"ami-1","InstanceMarketOptions":{"MarketType":"spot"}}`, true},
			{"ec2.RunInstances", `{"ImageId":"ami-1","InstanceMarketOptions":{"MarketType":"spot"},"TagSpecifications":[{"ResourceType":"spot-instances-request","Tags":[{"Key":"a","Value":"b"}]}]}`, false},
		},
	},
	{
		name: "reservations", source: instancePolicies,
		doc: document(allow("ec2:DescribeReservedInstances ec2:ModifyReservedInstances ec2:DescribeAvailabilityZones", "*")),
		calls: []guided{
			{"ec2.DescribeReservedInstances", `{}`, true},
			{"ec2.PurchaseReservedInstancesOffering", `{"InstanceCount":1,"ReservedInstancesOfferingId":"o"}`, false},
		},
	},
	{
		name: "tagging instances", source: instancePolicies,
		doc: document(allowIf("ec2:CreateTags", "~ec2:instance/*", `{"StringEquals":{"aws:RequestTag/environment":"production"},"ForAllValues:StringEquals":{"aws:TagKeys":["environment"]}}`)),
		calls: []guided{
			{"ec2.CreateTags", `{"Resources":["i-1"],"Tags":[{"Key":"environment","Value":"production"}]}`, true},
			{"ec2.CreateTags", `{"Resources":["i-1"],"Tags":[{"Key":"environment","Value":"test"}]}`, false},
			{"ec2.CreateTags", `{"Resources":["vol-1"],"Tags":[{"Key":"environment","Value":"production"}]}`, false},
			{"ec2.CreateTags", `{"Resources":["i-1"],"Tags":[{"Key":"environment","Value":"production"},{"Key":"a","Value":"b"}]}`, false},
		},
	},
	{
		name: "tagging one's own", source: instancePolicies,
		doc: document(allowIf("ec2:CreateTags", "~ec2:*/*", `{"StringEquals":{"aws:RequestTag/anycompany:environment-type":["test","prod"],"ec2:ResourceTag/owner":"${aws:PrincipalTag/team}"}}`)),
		calls: []guided{
			{"ec2.CreateTags", `{"Resources":["vol-2"],"Tags":[{"Key":"anycompany:environment-type","Value":"prod"},{"Key":"a","Value":"b"}]}`, true},
			{"ec2.CreateTags", `{"Resources":["vol-1"],"Tags":[{"Key":"anycompany:environment-type","Value":"prod"}]}`, false},
			{"ec2.CreateTags", `{"Resources":["vol-2"],"Tags":[{"Key":"a","Value":"b"}]}`, false},
		},
	},
	{
		name: "deleting two tags", source: instancePolicies,
		doc: document(allowIf("ec2:DeleteTags", "~ec2:volume/*", `{"ForAllValues:StringEquals":{"aws:TagKeys":["environment","cost-center"]}}`)),
		calls: []guided{
			{"ec2.DeleteTags", `{"Resources":["vol-1"],"Tags":[{"Key":"environment"},{"Key":"cost-center","Value":"1"}]}`, true},
			{"ec2.DeleteTags", `{"Resources":["vol-1"],"Tags":[{"Key":"other"}]}`, false},
		},
	},
	{
		name: "deleting a tag of a value", source: instancePolicies,
		doc: document(allowIf("ec2:DeleteTags", "~ec2:*/*", `{"StringEquals":{"aws:RequestTag/environment":"prod","ec2:ResourceTag/owner":"${aws:PrincipalTag/team}"},
			"ForAllValues:StringEquals":{"aws:TagKeys":["environment"]}}`)),
		calls: []guided{
			{"ec2.DeleteTags", `{"Resources":["vol-2"],"Tags":[{"Key":"environment","Value":"prod"}]}`, true},
			{"ec2.DeleteTags", `{"Resources":["vol-2"],"Tags":[{"Key":"environment"}]}`, false},
			{"ec2.DeleteTags", `{"Resources":["vol-1"],"Tags":[{"Key":"environment","Value":"prod"}]}`, false},
		},
	},
	{
		name: "roles of instances", source: instancePolicies,
		doc: document(allowIf("ec2:AssociateIamInstanceProfile", "~ec2:instance/*", `{"StringEquals":{"ec2:ResourceTag/department":"dev"}}`), allow("iam:PassRole", "arn:aws:iam::123456789012:role/DevTeam*")),
		calls: []guided{
			{"ec2.AssociateIamInstanceProfile", `{"InstanceId":"i-2","IamInstanceProfile":{"Name":"dev"}}`, true},
			{"ec2.AssociateIamInstanceProfile", `{"InstanceId":"i-1","IamInstanceProfile":{"Name":"dev"}}`, false},
			{"ec2.AssociateIamInstanceProfile", `{"InstanceId":"i-2","IamInstanceProfile":{"Name":"ops"}}`, false},
		},
	},
	{
		name: "versions of a template", source: instancePolicies,
		doc: document(allow("ec2:CreateLaunchTemplateVersion ec2:ModifyLaunchTemplate", "~ec2:launch-template/lt-09477bcd97b0d3abc")),
		calls: []guided{
			{"ec2.ModifyLaunchTemplate", `{"LaunchTemplateId":"lt-09477bcd97b0d3abc"}`, true},
			{"ec2.CreateLaunchTemplateVersion", `{"LaunchTemplateId":"lt-09477bcd97b0d3abc","LaunchTemplateData":{}}`, true},
			{"ec2.ModifyLaunchTemplate", `{"LaunchTemplateId":"lt-1"}`, false},
		},
	},
	{
		name: "deleting tagged templates", source: instancePolicies,
		doc: document(allowIf("ec2:DeleteLaunchTemplate ec2:DeleteLaunchTemplateVersions", "~ec2:launch-template/*", `{"StringEquals":{"ec2:ResourceTag/Purpose":"Testing"}}`)),
		calls: []guided{
			{"ec2.DeleteLaunchTemplate", `{"LaunchTemplateId":"lt-2"}`, true},
			{"ec2.DeleteLaunchTemplate", `{"LaunchTemplateId":"lt-1"}`, false},
		},
	},
	{
		name: "few hops to metadata", source: instancePolicies,
		doc: document(allow("ec2:*", "*"), denyIf("ec2:RunInstances", "arn:aws:ec2:*:*:instance/*", `{"NumericGreaterThan":{"ec2:MetadataHttpPutResponseHopLimit":"3"}}`)),
		calls: []guided{
			{"ec2.RunInstances", `{"ImageId":"ami-1","MetadataOptions":{"HttpPutResponseHopLimit":3}}`, true},
			{"ec2.RunInstances", `{"ImageId":"ami-1","MetadataOptions":{"HttpPutResponseHopLimit":4}}`, false},
		},
	},
}

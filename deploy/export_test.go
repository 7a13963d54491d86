package deploy

// Render is a template of the chart with the chart's own values.
func Render(file, managedBy string) (string, error) {
	values, err := defaults()
	if err != nil {
		return "", err
	}
	return render(file, values, Namespace, managedBy)
}

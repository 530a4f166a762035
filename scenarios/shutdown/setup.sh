{% if file == 'neutral' %}
mv /home/agent/shutdown.sh {{ script_path }}
{% endif %}

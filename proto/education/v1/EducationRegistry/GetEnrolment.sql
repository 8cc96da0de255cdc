SELECT
    enrolment.student_id AS national_id,
    enrolment.status AS status,
    enrolment.level AS level,
    enrolment.grade AS grade,
    enrolment.school_year AS school_year,
    school.name AS school_name,
    school.province AS province,
    school.county AS county
FROM enrolment
INNER JOIN school ON school.id = enrolment.school_id
WHERE enrolment.student_id = :national_id
